package dev.nibble.spi;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.nibble.tensor.DType;
import dev.nibble.tensor.Shape;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class MemoryLayoutTests {
    private static final MemoryLayout DEVICE = new MemoryLayout(true, 128, 256);

    @ParameterizedTest
    @CsvSource({"1, 4, 256", "13, 52, 256", "64, 256, 256", "65, 260, 512"})
    void tensorsAreRoundedToTheUnit(long elements, long host, long device) {
        assertEquals(host, MemoryLayout.HOST.bytes(DType.FP32, Shape.of(elements)));
        assertEquals(device, DEVICE.bytes(DType.FP32, Shape.of(elements)));
    }

    @Test
    void nothingTakesNothing() {
        assertEquals(0, DEVICE.bytes(DType.FP32, Shape.of(0)));
    }

    @ParameterizedTest
    @CsvSource({
        "INT8, 3, 13, 39, 16384", // 128 rows of 128 bytes
        "INT8, 129, 129, 16641, 65536",
        "INT4, 3, 13, 21, 16384", // 64 bytes of codes a row, padded to 128
        "INT4, 128, 256, 16384, 16384",
        "BF16, 1, 1, 2, 32768",
        "FP32, 128, 128, 65536, 65536"
    })
    void codesArePaddedInRowsAndInARow(DType format, long rows, long cols, long host, long device) {
        assertEquals(host, MemoryLayout.HOST.codeBytes(format, rows, cols));
        assertEquals(device, DEVICE.codeBytes(format, rows, cols));
    }

    @Test
    void sizesBelowOneAreRefused() {
        IllegalArgumentException e = assertThrows(IllegalArgumentException.class, () -> new MemoryLayout(false, 0, 1));
        assertEquals("tile is 0 and unit 1, but both must be at least 1", e.getMessage());
    }
}
