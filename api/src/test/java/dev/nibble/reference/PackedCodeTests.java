package dev.nibble.reference;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.nibble.host.HostOperand;
import dev.nibble.host.HostPlane;
import dev.nibble.host.HostQuantized;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.Granularity;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.ScaleRule;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Nibbles;
import dev.nibble.tensor.Role;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class PackedCodeTests {
    private static final PlaneSpec INT4 = PlaneSpec.value(
            DType.INT4, new Granularity.PerTensor(), new ScaleRule.AmaxOverTop(), Rounding.NEAREST_EVEN);

    @Test
    void allByteValuesSurviveUnpackingAndPacking() {
        for (int value = -128; value < 128; value++) {
            byte[] packed = {(byte) value};
            int low = Nibbles.value(DType.INT4, Nibbles.get(packed, 0));
            int high = Nibbles.value(DType.INT4, Nibbles.get(packed, 1));
            assertEquals(value, high * 16 + (low & 0xF), "two's complement of " + value);
            for (int before : new int[] {0, 0xFF, 0x5A}) {
                byte[] again = {(byte) before};
                Nibbles.set(again, 1, high);
                Nibbles.set(again, 0, low);
                assertEquals(value, again[0], "over " + before);
            }
        }
    }

    @Test
    void codesAreDecodedByFormat() {
        for (int code = 0; code < 16; code++) {
            assertEquals(code < 8 ? code : code - 16, Nibbles.value(DType.INT4, code));
            assertEquals(code, Nibbles.value(DType.UINT4, code));
            int magnitude = (code & 7) == 0 ? 0 : 1 << ((code & 7) - 1);
            assertEquals(code < 8 ? magnitude : -magnitude, Nibbles.value(DType.E3M0, code));
        }
        assertThrows(IllegalArgumentException.class, () -> Nibbles.value(DType.INT8, 1));
    }

    @Test
    void neighbourKeepsItsCode() {
        byte[] packed = new byte[3]; // 6 elements
        for (int element = 0; element < 6; element++) {
            Nibbles.set(packed, element, element - 3);
        }
        Nibbles.set(packed, 2, -8);
        int[] codes = new int[6]; // [6]
        Arrays.setAll(codes, i -> Nibbles.value(DType.INT4, Nibbles.get(packed, i)));
        assertArrayEquals(new int[] {-3, -2, -8, 0, 1, 2}, codes);
    }

    @ParameterizedTest
    @CsvSource({"1, 1, 1", "3, 13, 21", "2, 127, 128", "1, 128, 64", "5, 129, 325"})
    void rowsBeginOnAByte(int rows, int cols, long bytes) {
        assertEquals(bytes, DType.INT4.bytes(Shape.of(rows, cols)));
        float[] x = Data.normal(5, rows * cols);
        x[0] = 7;
        try (Session session = new Session()) {
            HostQuantized quantized = session.quantize(QuantizeSpec.both(Role.INPUT, List.of(INT4)), x, rows, cols);
            HostPlane plane =
                    Session.operand(quantized, Contraction.COLUMNS).planes().getFirst();
            assertEquals(bytes, plane.codes().bytes().length);
            assertEquals(cols + cols % 2, plane.pitch());
            float scale = Data.amax(x) / 7;
            float multiplier = 7 / Data.amax(x);
            for (int row = 0; row < rows; row++) {
                for (int col = 0; col < cols; col++) {
                    int stored = Nibbles.get(plane.codes().bytes(), row * plane.pitch() + col);
                    int code = Rounder.nearest(x[row * cols + col] * multiplier, -7, 7);
                    assertEquals(code, Nibbles.value(DType.INT4, stored), row + ", " + col);
                }
            }
            float[] columns = session.dequantize(Session.operand(quantized, Contraction.COLUMNS)); // [rows, cols]
            float[] turned = session.dequantize(Session.operand(quantized, Contraction.ROWS)); // [cols, rows]
            assertArrayEquals(Data.transpose(columns, rows, cols), turned);
            assertEquals(7 * scale, columns[0], 0f);
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 13, 127})
    void oddRowEndsInCodeZeroWhateverTheMemoryHeld(int cols) {
        float[] x = new float[3 * cols]; // [3, cols]
        Arrays.fill(x, -1f);
        try (Session session = new Session()) {
            Tensor used = session.backend.allocate(
                    "used", DType.INT8, Shape.of(DType.INT4.bytes(Shape.of(3, cols))), MemoryTag.SCRATCH);
            Arrays.fill(dev.nibble.host.HostTensor.of(used).bytes(), (byte) 0xFF);
            used.close();
            HostPlane plane = session.columns(x, 3, cols, INT4).planes().getFirst();
            for (int row = 0; row < 3; row++) {
                int last = row * plane.pitch() + cols - 1;
                assertEquals(0x9, Nibbles.get(plane.codes().bytes(), last), "the code -7");
                assertEquals(0, Nibbles.get(plane.codes().bytes(), last + 1), "beside it");
            }
        }
    }

    @Test
    void codesAreReadOneAByteWithTheirSigns() {
        float[] x = {-7, 3, 0, 6, -1, 2}; // [2, 3]
        Session session = new Session();
        HostOperand operand = session.columns(x, 2, 3, INT4);
        HostOperand kept = operand.share();
        session.scope.close();
        assertArrayEquals(new byte[] {-7, 3, 0, 6, -1, 2}, session.backend.readCodes(kept, 0));
        assertArrayEquals(new float[] {1}, session.backend.readScales(kept, 0));
        kept.close();
        session.close();
    }
}
