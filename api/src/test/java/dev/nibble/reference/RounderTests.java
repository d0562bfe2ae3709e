package dev.nibble.reference;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.quant.Granularity;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.ScaleRule;
import dev.nibble.random.RandomStream;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Role;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

class RounderTests {
    private static final float LARGEST_U = 1 - 0x1p-24f;

    @Test
    void nearestTakesTheEvenOfATie() {
        float[] values = {0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -2.5f, 126.5f, 0.50000006f};
        int[] codes = {0, 2, 2, 0, -2, -2, 126, 1};
        for (int i = 0; i < values.length; i++) {
            assertEquals(codes[i], Rounder.nearest(values[i]), "at " + values[i]);
        }
    }

    @Test
    void codesAreSymmetric() {
        for (float t : new float[] {127, 127.00001f, 128, 1e9f, Float.POSITIVE_INFINITY}) {
            assertEquals(127, Rounder.nearest(t));
            assertEquals(-127, Rounder.nearest(-t));
            assertEquals(127, Rounder.stochastic(t, LARGEST_U));
            assertEquals(-127, Rounder.stochastic(-t, 0));
        }
    }

    @Test
    void nanHasCodeZero() {
        assertEquals(0, Rounder.nearest(Float.NaN));
        assertEquals(0, Rounder.stochastic(Float.NaN, 0.5f));
    }

    @Test
    void stochasticGoesUpBelowTheFraction() {
        assertEquals(4, Rounder.stochastic(3.25f, 0.25f - 0x1p-24f));
        assertEquals(3, Rounder.stochastic(3.25f, 0.25f));
        assertEquals(-3, Rounder.stochastic(-3.25f, 0.75f - 0x1p-24f));
        assertEquals(-4, Rounder.stochastic(-3.25f, 0.75f));
    }

    @Test
    void integersStayWhateverTheDraw() {
        for (int t = -127; t <= 127; t++) {
            assertEquals(t, Rounder.stochastic(t, 0));
            assertEquals(t, Rounder.stochastic(t, LARGEST_U));
        }
    }

    @Test
    void additiveFormWouldReach128() {
        // 127 + u rounds to 128 from u = 1 - 2^-18 on (the spacing below 128 is 2^-17): 64 of 2^24 draws.
        int wrong = 0;
        for (int i = 1; i <= 1000; i++) {
            float u = 1 - i * 0x1p-24f;
            wrong += Math.floor(127f + u) == 128 ? 1 : 0;
            assertEquals(127, Rounder.stochastic(127f, u));
        }
        assertEquals(64, wrong);
    }

    @Test
    void stochasticHasTheMeanAndVarianceOfABernoulli() {
        int draws = 200_000;
        RandomStream stream = new RandomStream(1, 0, 0, 0, Role.OTHER, 0, 0);
        for (float t : new float[] {0.3f, -0.3f, 5.0625f, -126.75f}) {
            double p = t - Math.floor(t);
            double sum = 0;
            double squares = 0;
            for (int i = 0; i < draws; i++) {
                double error = Rounder.stochastic(t, stream.uniform(i)) - (double) t;
                sum += error;
                squares += error * error;
            }
            double variance = p * (1 - p);
            double ofSquares = variance * (1 - 3 * variance) - variance * variance; // fourth moment - variance²
            assertEquals(0, sum / draws, 5 * Math.sqrt(variance / draws));
            assertEquals(variance, squares / draws, 5 * Math.sqrt(Math.abs(ofSquares) / draws));
        }
    }

    @Test
    void stochasticHasTwiceTheVarianceOfNearest() {
        int draws = 200_000;
        SplittableRandom random = new SplittableRandom(2);
        RandomStream stream = new RandomStream(3, 0, 0, 0, Role.OTHER, 0, 0);
        double stochastic = 0;
        double nearest = 0;
        for (int i = 0; i < draws; i++) {
            float t = (float) random.nextDouble(-126, 126);
            stochastic += Math.pow(Rounder.stochastic(t, stream.uniform(i)) - (double) t, 2);
            nearest += Math.pow(Rounder.nearest(t) - (double) t, 2);
        }
        // Over a uniform fraction p: E[e²] = 1/6, E[e⁴] = 1/15; for nearest 1/12 and 1/80.
        assertEquals(1.0 / 6, stochastic / draws, 5 * Math.sqrt((1.0 / 15 - 1.0 / 36) / draws));
        assertEquals(1.0 / 12, nearest / draws, 5 * Math.sqrt((1.0 / 80 - 1.0 / 144) / draws));
    }

    @Test
    void aFormatKnowsItsRoundings() {
        Rounder.requireSupported(plane(DType.INT8, Rounding.STOCHASTIC));
        Rounder.requireSupported(plane(DType.E5M2, Rounding.STOCHASTIC));
        Rounder.requireSupported(plane(DType.E3M0, Rounding.STOCHASTIC_LOG));
        IllegalArgumentException e = assertThrows(
                IllegalArgumentException.class,
                () -> Rounder.requireSupported(plane(DType.INT8, Rounding.NEAREST_FLUSH)));
        assertTrue(
                e.getMessage().contains("rounding to int8 is NEAREST_FLUSH, which it does not know"), e.getMessage());
    }

    private static PlaneSpec plane(DType format, Rounding rounding) {
        return PlaneSpec.value(format, new Granularity.PerTensor(), new ScaleRule.AmaxOverTop(), rounding);
    }
}
