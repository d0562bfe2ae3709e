package dev.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class DrawStatisticsTests {
    private static DrawStatistics of(float[]... draws) {
        DrawStatistics statistics = new DrawStatistics(draws[0].length);
        for (float[] draw : draws) {
            statistics.add(draw);
        }
        return statistics;
    }

    @Test
    void figuresOfTwoDrawsAreThoseComputedByHand() {
        DrawStatistics statistics = of(new float[] {1, 5}, new float[] {3, 5});
        float[] x = {1, 4};
        assertArrayEquals(new float[] {2, 5}, statistics.mean());
        // means 2 and 5: errors 1 and 1; variances 2 and 0, so sqrt((2 + 0) / 2) / 2
        assertEquals(1, statistics.bias(i -> x[i]));
        assertEquals(0.5, statistics.standardError(i -> x[i]));
        // the mean elements of the draws are 3 and 4: variance 0.5, so sqrt(0.5 / 2)
        assertEquals(0.5, statistics.jointStandardError());
    }

    @Test
    void oneDrawTakesTheErrorsOfTheElementsAsASample() {
        DrawStatistics statistics = of(new float[] {1, 2, 3, 6});
        // errors 0, 1, 2, 5: mean 2, squared distances 4 + 1 + 0 + 9, so sqrt(14 / 3 / 4)
        assertEquals(2, statistics.bias(i -> 1));
        assertEquals(2, statistics.bias(i -> new double[] {1, 1, 1, 1}[i]));
        assertEquals(Math.sqrt(14.0 / 3 / 4), statistics.standardError(i -> 1), 1e-15);
        assertTrue(Double.isNaN(statistics.jointStandardError()));
        assertTrue(Double.isNaN(of(new float[] {7}).standardError(i -> 1)));
    }

    @ParameterizedTest
    @ValueSource(floats = {0, -0f, 0.1f, Float.MIN_VALUE, Float.MAX_VALUE, -Float.MAX_VALUE})
    void equalDrawsHaveNoSpreadAtAll(float value) {
        float[] draw = {value, 1, -value};
        DrawStatistics statistics = of(draw, draw, draw, draw, draw, draw, draw);
        assertArrayEquals(new float[] {value + 0f, 1, -value + 0f}, statistics.mean());
        assertEquals(0, statistics.standardError(i -> 1));
        assertEquals(0, statistics.jointStandardError());
    }

    /** Draws whose spread is 2^-20 of their value: a sum of squares of the values themselves would lose it all. */
    @Test
    void smallSpreadOfLargeValuesIsNotLost() {
        float[][] draws = new float[1024][];
        for (int i = 0; i < draws.length; i++) {
            draws[i] = new float[] {1e30f, i % 2 == 0 ? 1e30f : Math.nextUp(1e30f)};
        }
        DrawStatistics statistics = of(draws);
        double ulp = (double) Math.nextUp(1e30f) - 1e30f;
        double variance = ulp * ulp / 4 * 1024 / 1023;
        assertEquals(Math.sqrt(variance / 1024) / 2, statistics.standardError(i -> 1e30f), 1e-12 * ulp);
        assertEquals(ulp / 4, statistics.bias(i -> 1e30f), 1e-12 * ulp);
    }

    /**
     * The elements of a draw share one error, as those of a product share the draws of its operands. The joint standard
     * error knows it; the one for independent elements is too small by the root of their number.
     */
    @Test
    void jointStandardErrorKnowsThatElementsDependOnEachOther() {
        int elements = 64;
        int draws = 400;
        SplittableRandom random = new SplittableRandom(5);
        DrawStatistics statistics = new DrawStatistics(elements);
        for (int i = 0; i < draws; i++) {
            float[] draw = new float[elements];
            Arrays.fill(draw, random.nextInt(2)); // variance 1/4
            statistics.add(draw);
        }
        double expected = Math.sqrt(0.25 / draws);
        // of a fair coin s² = n/(n-1) · p(1-p), p the share of ones, within 5/(2·20) of 1/2: s² is at most 4 · (1/8)² =
        // 6.3 % below 1/4, its root 3.2 %
        assertEquals(expected, statistics.jointStandardError(), 0.04 * expected);
        assertEquals(expected / 8, statistics.standardError(i -> 0.5), 0.04 * expected / 8);
    }
}
