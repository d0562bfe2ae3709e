package dev.nibble.tensor;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

/** BF16 and FP16. */
class HalfFormatTests {
    @Test
    void everyBf16SurvivesARoundTrip() {
        for (int code = 0; code < 65536; code++) {
            float value = Bf16.decode((short) code);
            if (Float.isNaN(value)) {
                assertEquals(0x7FC0, Bf16.encode(value));
            } else {
                assertEquals((short) code, Bf16.encode(value));
                assertEquals(value, Bf16.roundTrip(value));
            }
        }
    }

    @Test
    void bf16RoundsToNearestAndTiesToEven() {
        assertEquals(0x3F80, Bf16.encode(Float.intBitsToFloat(0x3F808000))); // tie to the even code below
        assertEquals(0x3F82, Bf16.encode(Float.intBitsToFloat(0x3F818000))); // tie to the even code above
        assertEquals(0x3F81, Bf16.encode(Float.intBitsToFloat(0x3F808001)));
        assertEquals(0x3F80, Bf16.encode(Float.intBitsToFloat(0x3F807FFF)));
        assertEquals((short) 0x8000, Bf16.encode(-0f));
        assertEquals(0, Bf16.encode(Float.MIN_VALUE));
        assertEquals(0x0001, Bf16.encode(Float.intBitsToFloat(0x00008001))); // subnormals are kept
        assertEquals(0x7F80, Bf16.encode(Float.MAX_VALUE));
        assertEquals((short) 0xFF80, Bf16.encode(Float.NEGATIVE_INFINITY));
    }

    @Test
    void bf16KeepsEveryNan() {
        // Plain rounding would turn the last two into zero and minus zero, and the first into infinity.
        for (int bits : new int[] {0x7F800001, 0x7FC00000, 0x7FFFFFFF, 0xFFFFFFFF}) {
            assertTrue(Float.isNaN(Bf16.roundTrip(Float.intBitsToFloat(bits))));
        }
    }

    @Test
    void fp16RoundsToNearestAndTiesToEven() {
        assertEquals(0x3C00, Fp16.encode(1 + 0x1p-11f)); // tie to the even code below
        assertEquals(0x3C02, Fp16.encode(1 + 3 * 0x1p-11f)); // tie to the even code above
        assertEquals(0x7BFF, Fp16.encode(65519.996f));
        assertEquals(0x7C00, Fp16.encode(65520f));
        assertEquals(0x0001, Fp16.encode(0x1p-24f));
        assertEquals(0x0000, Fp16.encode(0x1p-25f));
        assertTrue(Float.isNaN(Fp16.decode(Fp16.encode(Float.NaN))));
    }

    @Test
    void everyFp16SurvivesARoundTrip() {
        for (int code = 0; code < 65536; code++) {
            float value = Fp16.decode((short) code);
            if (!Float.isNaN(value)) {
                assertEquals((short) code, Fp16.encode(value));
            }
        }
    }
}
