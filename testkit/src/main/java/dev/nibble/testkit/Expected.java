package dev.nibble.testkit;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.fail;

import dev.nibble.testkit.data.FloatError;

/**
 * What an operation gives in FP64, and how far FP32 may be from it in any order of its sums.
 *
 * @param value exact values, [elements]
 * @param bound of their errors, [elements]
 */
record Expected(double[] value, double[] bound) {
    static final double U = FloatError.U;

    /** Where an exponential overflows or vanishes, a sigmoid is 0 that is not: it is smaller than this. */
    static final double VANISHED = 0x1p-125;

    static Expected zeros(int elements) {
        return new Expected(new double[elements], new double[elements]);
    }

    void assertHolds(String what, float[] actual) {
        assertEquals(value.length, actual.length, what + ": number of values");
        for (int i = 0; i < actual.length; i++) {
            if (!(Math.abs(actual[i] - value[i]) <= bound[i] + FloatError.SMALLEST)) {
                fail("%s: element %d is %s, but must be %s within %s"
                        .formatted(what, i, actual[i], value[i], bound[i]));
            }
        }
    }
}
