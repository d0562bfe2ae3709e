package dev.nibble.reference;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

class ExpTests {
    private static final int STRIDE = 997; // a prime: all mantissas and exponents get their turn

    @Test
    void errorIsBelowTheStatedUlps() {
        long tried = 0;
        for (int bits = Float.floatToRawIntBits(0x1p-30f); bits < Float.floatToRawIntBits(88.7f); bits += STRIDE) {
            for (float x : new float[] {Float.intBitsToFloat(bits), -Float.intBitsToFloat(bits)}) {
                double exact = Math.exp(x); // within 1 ulp of FP64, nothing here
                double ulps = Math.abs(Exp.exp(x) - exact) / Math.ulp((float) exact);
                assertTrue(ulps < (exact < Float.MIN_NORMAL ? 1 : 0.9), () -> "exp(" + x + ") is off by " + ulps);
                tried++;
            }
        }
        assertTrue(tried > 500_000, "tried " + tried);
    }

    @Test
    void specialValuesAreExact() {
        assertEquals(1f, Exp.exp(0f));
        assertEquals(1f, Exp.exp(-0f));
        assertEquals(1f, Exp.exp(Float.MIN_VALUE));
        assertEquals(0f, Exp.exp(Float.NEGATIVE_INFINITY));
        assertEquals(0f, Exp.exp(-Float.MAX_VALUE));
        assertEquals(0f, Exp.exp(-104f));
        assertEquals(Float.MIN_VALUE, Exp.exp(-103.2f));
        assertEquals(Float.POSITIVE_INFINITY, Exp.exp(88.73f));
        assertEquals(Float.POSITIVE_INFINITY, Exp.exp(Float.MAX_VALUE));
        assertEquals(Float.POSITIVE_INFINITY, Exp.exp(Float.POSITIVE_INFINITY));
        assertTrue(Float.isNaN(Exp.exp(Float.NaN)));
    }

    @Test
    void largestFiniteResultIsFinite() {
        assertTrue(Float.isFinite(Exp.exp(88.72283f)));
    }
}
