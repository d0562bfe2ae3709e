package dev.nibble.reference;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.spi.Gelu;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class ReferenceGeluTests {
    private static final double[] COEFFICIENTS = {
        ReferenceGelu.C0,
        ReferenceGelu.C1,
        ReferenceGelu.C2,
        ReferenceGelu.C3,
        ReferenceGelu.C4,
        ReferenceGelu.C5,
        ReferenceGelu.C6
    };

    /** 1/2 + density · (x + x³/3 + x⁵/15 + …), Abramowitz and Stegun 26.2.11. */
    private static double phi(double x) {
        double term = x;
        double sum = x;
        for (int k = 1; k < 400; k++) {
            term *= x * x / (2 * k + 1);
            sum += term;
        }
        return 0.5 + Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI) * sum;
    }

    private static float gelu(Gelu form, float x) {
        float[] y = new float[1];
        ReferenceGelu.forward(Exponentials.SCALAR, form, new float[] {x}, 0, 1, y);
        return y[0];
    }

    private static float slope(Gelu form, float x) {
        float[] dx = new float[1];
        ReferenceGelu.backward(Exponentials.SCALAR, form, new float[] {1}, new float[] {x}, 0, 1, dx);
        return dx[0];
    }

    @Test
    void thePolynomialIsWithinWhatItsDocumentationSays() {
        double worst = 0;
        for (int i = -90_000; i <= 90_000; i++) {
            double x = i / 10_000.0;
            double power = x;
            double logit = 0;
            for (double coefficient : COEFFICIENTS) {
                logit += coefficient * power;
                power *= x * x;
            }
            worst = Math.max(worst, Math.abs(x / (1 + Math.exp(-logit)) - x * phi(x)));
        }
        assertTrue(worst < 1e-7, "off by " + worst);
        assertTrue(worst > 1e-8, "an error of " + worst + " is less than a polynomial of degree 13 can have");
    }

    /**
     * The logit has 4 roundings, the coefficients' among them, the sigmoid 4 more, the product 1: with s·(1 - s) · |logit| at most 0.23 the
     * sigmoid is off by at most (4 · 0.23 + 4) · 2^-24, and y by |x| times that and half an ulp.
     */
    @Test
    void theOtherFormIsThatOfTheTangent() {
        double difference = 0;
        for (int i = -90_000; i <= 90_000; i++) {
            float x = i / 10_000f;
            double expected = x * 0.5 * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x)));
            assertEquals(expected, gelu(Gelu.TANH, x), Math.abs(x) * 6 * 0x1p-24, "at " + x);
            difference = Math.max(difference, Math.abs(expected - x * phi(x)));
        }
        assertEquals(4.73e-4, difference, 1e-6, "between the forms");
    }

    @ParameterizedTest
    @EnumSource
    void farFromZeroItIsTheIdentityOrNothing(Gelu form) {
        for (float x : new float[] {10, 50, 1e10f, 1e30f, Float.MAX_VALUE, Float.POSITIVE_INFINITY}) {
            assertEquals(x, gelu(form, x));
            assertEquals(1, x == Float.POSITIVE_INFINITY ? 1 : slope(form, x));
        }
        for (float x : new float[] {-10, -50, -1e10f, -1e30f, -Float.MAX_VALUE}) {
            assertEquals(0, gelu(form, x), 1e-20);
            assertEquals(0, slope(form, x), 1e-20);
        }
        assertTrue(Float.isNaN(gelu(form, Float.NaN)) && Float.isNaN(slope(form, Float.NaN)));
        assertTrue(Float.isNaN(gelu(form, Float.NEGATIVE_INFINITY)), "0 times infinity");
    }

    @ParameterizedTest
    @EnumSource
    void nearZeroItIsHalfOfX(Gelu form) {
        for (float x : new float[] {0f, -0f, Float.MIN_VALUE * 2, 1e-30f, -1e-30f}) {
            assertEquals(x * 0.5f, gelu(form, x));
            assertEquals(0.5f, slope(form, x));
        }
    }

    /**
     * With h = 2^-8 the difference quotient is cut off at h^2/6 times the third derivative, at most 3e-6; each y is off by 1e-7 of the
     * polynomial and some 20 roundings of at most 6, so the quotient by at most (1e-7 + 20 * 6 * 2^-24) / h = 1.9e-3.
     */
    @ParameterizedTest
    @EnumSource
    void theGradientIsTheSlope(Gelu form) {
        float h = 0x1p-8f;
        for (float x = -6; x < 6; x += 0x1p-4f) {
            assertEquals((gelu(form, x + h) - gelu(form, x - h)) / (2 * h), slope(form, x), 1.9e-3, "at " + x);
        }
    }

    @ParameterizedTest
    @EnumSource
    void stretchesDoNotMatter(Gelu form) {
        float[] x = new float[3000];
        for (int i = 0; i < x.length; i++) {
            x[i] = (i - 1500) / 250f;
        }
        float[] whole = new float[x.length];
        float[] parts = new float[x.length];
        ReferenceGelu.forward(Exponentials.SCALAR, form, x, 0, x.length, whole);
        ReferenceGelu.forward(Exponentials.SCALAR, form, x, 0, 7, parts);
        ReferenceGelu.forward(Exponentials.SCALAR, form, x, 7, x.length, parts);
        assertArrayEquals(whole, parts);
        float[] ones = new float[x.length];
        Arrays.fill(ones, 1);
        ReferenceGelu.backward(Exponentials.SCALAR, form, ones, x, 0, x.length, whole);
        ReferenceGelu.backward(Exponentials.SCALAR, form, ones, x, 0, 7, parts);
        ReferenceGelu.backward(Exponentials.SCALAR, form, ones, x, 7, x.length, parts);
        assertArrayEquals(whole, parts);
    }
}
