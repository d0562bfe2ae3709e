package dev.nibble.backend.cpu;

import dev.nibble.reference.Exponentials;
import org.junit.jupiter.api.Test;

class VectorExpTests {
    private static final int STRIDE = 4099; // a prime: every exponent and about a million mantissas of both signs

    private static float[] allKinds() {
        float[] x = new float[(int) ((1L << 32) / STRIDE) + 3]; // [kinds]
        for (int i = 0; i < x.length - 2; i++) {
            x[i] = Float.intBitsToFloat(i * STRIDE); // wraps to the negative numbers; NaN and infinity included
        }
        x[x.length - 2] = Float.POSITIVE_INFINITY;
        x[x.length - 1] = Float.NEGATIVE_INFINITY;
        return x;
    }

    @Test
    void exponentialHasTheBitsOfTheScalarOne() {
        float[] x = allKinds(); // [kinds]
        for (float subtrahend : new float[] {0f, 3.7f, Float.NEGATIVE_INFINITY, Float.NaN}) {
            float[] expected = new float[x.length]; // [kinds]
            float[] actual = new float[x.length]; // [kinds]
            Exponentials.SCALAR.exp(x, 1, x.length - 1, subtrahend, expected);
            new VectorExp().exp(x, 1, x.length - 1, subtrahend, actual);
            TestScope.assertSameBits("exp(x - " + subtrahend + ")", expected, actual);
        }
    }

    @Test
    void sigmoidHasTheBitsOfTheScalarOne() {
        float[] x = allKinds(); // [kinds]
        float[] expected = new float[x.length]; // [kinds]
        float[] actual = new float[x.length]; // [kinds]
        Exponentials.SCALAR.sigmoid(x, 0, x.length, expected);
        new VectorExp().sigmoid(x, 0, x.length, actual);
        TestScope.assertSameBits("sigmoid(x)", expected, actual);
    }
}
