package dev.nibble.testkit.data;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.fail;

/** Equality to the last bit. All NaN count as one: which one arises is the processor's choice. */
public final class Bits {
    private Bits() {}

    /** Fails unless both arrays hold the same bits; says how many differ, where first, and both values there. */
    public static void assertSame(String what, float[] expected, float[] actual) {
        assertEquals(expected.length, actual.length, what + ": number of values");
        int different = 0;
        int first = 0;
        for (int i = expected.length - 1; i >= 0; i--) {
            if (Float.floatToIntBits(expected[i]) != Float.floatToIntBits(actual[i])) {
                first = i;
                different++;
            }
        }
        if (different > 0) {
            fail("%s: %d of %d values differ, first [%d]: %s, but must be %s"
                    .formatted(what, different, expected.length, first, actual[first], expected[first]));
        }
    }

    /** Fails unless both arrays hold the same bytes. */
    public static void assertSame(String what, byte[] expected, byte[] actual) {
        assertEquals(expected.length, actual.length, what + ": number of bytes");
        int different = 0;
        int first = 0;
        for (int i = expected.length - 1; i >= 0; i--) {
            if (expected[i] != actual[i]) {
                first = i;
                different++;
            }
        }
        if (different > 0) {
            fail("%s: %d of %d bytes differ, first [%d]: %d, but must be %d"
                    .formatted(what, different, expected.length, first, actual[first], expected[first]));
        }
    }

    /** {@return how many elements differ in their bits} */
    public static int differences(float[] expected, float[] actual) {
        int different = 0;
        for (int i = 0; i < expected.length; i++) {
            different += Float.floatToIntBits(expected[i]) == Float.floatToIntBits(actual[i]) ? 0 : 1;
        }
        return different;
    }
}
