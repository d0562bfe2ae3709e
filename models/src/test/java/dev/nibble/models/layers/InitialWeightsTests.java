package dev.nibble.models.layers;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.random.Purpose;
import dev.nibble.random.RandomStream;
import dev.nibble.tensor.Role;
import dev.nibble.tensor.Shape;
import java.util.Arrays;
import org.junit.jupiter.api.Test;

class InitialWeightsTests {
    @Test
    void momentsAreThoseOfTheNormalDistribution() {
        int n = 1 << 18;
        double sum = 0;
        double squares = 0;
        double fourth = 0;
        for (float value : InitialWeights.normal(7, 3, Shape.of(n), 2)) {
            assertTrue(Float.isFinite(value));
            double z = value / 2.0;
            sum += z;
            squares += z * z;
            fourth += z * z * z * z;
        }
        // standard errors for z of variance 1: mean 1/sqrt(n), variance sqrt(2/n), fourth moment sqrt(96/n)
        assertEquals(0, sum / n, 5 / Math.sqrt(n));
        assertEquals(1, squares / n, 5 * Math.sqrt(2.0 / n));
        assertEquals(3, fourth / n, 5 * Math.sqrt(96.0 / n));
    }

    @Test
    void pairsAreCosineAndSineOfTwoUniformDraws() {
        int n = (1 << 17) + 7; // more than a thread draws at a time
        float[] values = InitialWeights.normal(7, 3, Shape.of(n), 0.02);
        RandomStream stream = new RandomStream(7, 0, 0, 3, Role.OTHER, Purpose.INITIAL_WEIGHT, 0);
        for (int i = 0; i < n; i++) {
            double radius = 0.02 * Math.sqrt(-2 * Math.log((double) stream.uniform(2L * (i / 2)) + RandomStream.UNIT));
            double angle = 2 * Math.PI * stream.uniform(2L * (i / 2) + 1);
            double expected = radius * (i % 2 == 0 ? Math.cos(angle) : Math.sin(angle));
            assertEquals(expected, values[i], Math.ulp((float) radius)); // one rounding to FP32
        }
    }

    @Test
    void shorterTensorIsAPrefixAndOddLengthsWork() {
        float[] longer = InitialWeights.normal(1, 2, Shape.of(13, 10), 1);
        for (int length : new int[] {1, 2, 3, 13, 127, 128, 129}) {
            assertArrayEquals(Arrays.copyOf(longer, length), InitialWeights.normal(1, 2, Shape.of(length), 1));
        }
    }

    @Test
    void seedAndOrdinalChangeTheWeights() {
        float[] first = InitialWeights.normal(1, 2, Shape.of(8), 1);
        assertFalse(Arrays.equals(first, InitialWeights.normal(2, 2, Shape.of(8), 1)));
        assertFalse(Arrays.equals(first, InitialWeights.normal(1, 3, Shape.of(8), 1)));
    }
}
