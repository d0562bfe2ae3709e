package dev.nibble.quant.fp8;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Codes made with the host conversion of CUDA 13.0. */
class E2m1Tests {
    @ParameterizedTest
    @CsvSource({
        "0, 0", "-0, 8", "-0.1, 8", "0.25, 0", "0.25000003, 1", "0.75, 2", "0.7499999, 1", "1.25, 2", "1.75, 4",
        "2.5, 4", "3.5, 6", "3.4999998, 5", "5, 6", "5.0000005, 7", "6, 7", "7, 7", "1e30, 7", "Infinity, 7",
        "-Infinity, 15", "NaN, 7", "-5.5, 15", "1.4e-45, 0", "-1.4e-45, 8"
    })
    void goldenValuesHaveGoldenCodes(float value, int code) {
        assertEquals(code, E2m1.encode(value));
    }

    @Test
    void nanLosesItsSign() {
        assertEquals(7, E2m1.encode(Float.intBitsToFloat(0xFFC00000)));
    }

    @Test
    void allBf16HaveTheirChecksum() {
        byte[] codes = new byte[65536]; // [bits]
        for (int i = 0; i < codes.length; i++) {
            codes[i] = (byte) E2m1.encode(Float.intBitsToFloat(i << 16));
        }
        assertEquals("19AE53B0", Golden.crc(codes));
    }

    /** The same rounding, written as one comparison a code. */
    @Test
    void comparisonsGiveTheSameCodes() {
        for (int i = 0; i < 0x7F80; i++) {
            float a = Float.intBitsToFloat((i << 16) | (i & 0xFFFF));
            int code = a <= 0.25f
                    ? 0
                    : a < 0.75f ? 1 : a <= 1.25f ? 2 : a < 1.75f ? 3 : a <= 2.5f ? 4 : a < 3.5f ? 5 : a <= 5 ? 6 : 7;
            assertEquals(code, E2m1.encode(a), "at " + a);
        }
    }

    @Test
    void everyCodeSurvivesARoundTrip() {
        float[] values = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6}; // [code]
        for (int code = 0; code < 16; code++) {
            assertEquals(code < 8 ? values[code] : -values[code - 8], E2m1.decode(code));
            assertEquals(code, E2m1.encode(E2m1.decode(code)));
        }
    }
}
