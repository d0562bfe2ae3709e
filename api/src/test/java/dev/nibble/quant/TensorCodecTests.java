package dev.nibble.quant;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.nibble.tensor.Shape;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class TensorCodecTests {
    @ParameterizedTest
    @CsvSource({"8, 127, 128", "10, 511, 160", "12, 2047, 192", "16, 32767, 256"})
    void groupOf128TakesTheBitsItHas(int bits, int top, int bytes) {
        TensorCodec codec = new TensorCodec(bits);
        assertEquals(top, codec.top());
        assertEquals(bytes, codec.rowBytes(128));
        assertEquals(3L * bytes, codec.rowBytes(384));
    }

    @ParameterizedTest
    @CsvSource({
        "8, 1, 1", "10, 1, 2", "12, 1, 2", "16, 1, 2",
        "8, 13, 13", "10, 13, 17", "12, 13, 20", "16, 13, 26",
        "8, 127, 127", "10, 127, 159", "12, 127, 191", "16, 127, 254",
        "8, 129, 129", "10, 129, 162", "12, 129, 194", "16, 129, 258"
    })
    void lastGroupOfARowBeginsOnAByte(int bits, long cols, long bytes) {
        assertEquals(bytes, new TensorCodec(bits).rowBytes(cols));
    }

    @ParameterizedTest
    @CsvSource({"0, 0", "1, 1", "128, 1", "129, 2", "1408, 11"})
    void eachGroupHasAScale(long cols, long scales) {
        assertEquals(scales, new TensorCodec(10).scales(cols));
    }

    @Test
    void sizeIsThatOfCodesAndScales() {
        // 2048 rows of 11 groups of 160 bytes of codes and 4 bytes of scale: 10.25 bits an element
        assertEquals(2048L * 11 * 164, new TensorCodec(10).bytes(Shape.of(2048, 1408)));
        assertEquals(6L * (17 + 4), new TensorCodec(10).bytes(Shape.of(2, 3, 13)));
        assertEquals(0, new TensorCodec(10).bytes(Shape.of(0, 13)));
        // more than an int holds
        assertEquals((1L << 32) * (192 + 4), new TensorCodec(12).bytes(Shape.of(1L << 32, 128)));
    }

    @ParameterizedTest
    @ValueSource(ints = {-8, 0, 4, 7, 9, 11, 14, 17, 32})
    void otherWidthsAreRefused(int bits) {
        IllegalArgumentException e = assertThrows(IllegalArgumentException.class, () -> new TensorCodec(bits));
        assertEquals("bits is " + bits + ", but must be one of [8, 10, 12, 16]", e.getMessage());
    }

    @Test
    void bf16HasSixteenBitsAndNoScale() {
        assertEquals(2 * 1408, TensorCodec.BF16.rowBytes(1408));
        assertEquals(2 * 13, TensorCodec.BF16.rowBytes(13));
        assertEquals(0, TensorCodec.BF16.scales(1408));
        assertEquals(11, TensorCodec.BF16.groups(1408));
        assertEquals(2L * 2048 * 129, TensorCodec.BF16.bytes(Shape.of(2048, 129)));
        IllegalArgumentException e =
                assertThrows(IllegalArgumentException.class, () -> new TensorCodec(TensorCodec.Form.BF16, 8));
        assertEquals("bits is 8, but a bf16 has 16", e.getMessage());
    }
}
