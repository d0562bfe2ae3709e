package dev.nibble.reference;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class LeverageSamplingTests {
    private static final double GRID = 0x1p24;
    private static final int NEVER = -1;

    /** Scores of very different sizes, some 0. */
    private static float[] scores(long seed, int count) {
        SplittableRandom random = new SplittableRandom(seed);
        float[] scores = new float[count]; // [rows]
        for (int i = 0; i < count; i++) {
            scores[i] = random.nextInt(10) == 0 ? 0 : (float) Math.exp(3 * random.nextGaussian());
        }
        return scores;
    }

    /** p = min(1, lambda · c) of sum N, by the loop of the paper: cap, then spread what is left over the rest. */
    private static double[] byLoop(float[] scores, double budget) {
        double[] p = new double[scores.length]; // [rows]
        boolean[] capped = new boolean[scores.length]; // [rows]
        boolean again = true;
        while (again) {
            again = false;
            double left = budget;
            double sum = 0;
            for (int i = 0; i < p.length; i++) {
                left -= capped[i] ? 1 : 0;
                sum += capped[i] ? 0 : scores[i];
            }
            for (int i = 0; i < p.length; i++) {
                p[i] = capped[i] ? 1 : scores[i] == 0 ? 0 : left * scores[i] / sum;
                if (p[i] > 1) {
                    capped[i] = true;
                    again = true;
                }
            }
        }
        return p;
    }

    /** The same in closed form: with scores descending, the smallest K for which (N - K) · c[K] is at most their rest. */
    private static double[] inClosedForm(float[] scores, double budget) {
        double[] descending = new double[scores.length]; // [rows]
        Arrays.setAll(descending, i -> -scores[i]);
        Arrays.sort(descending);
        double tail = -Arrays.stream(descending).sum();
        int k = 0;
        while (k < scores.length && -descending[k] * (budget - k) > tail) {
            tail += descending[k];
            k++;
        }
        double lambda = (budget - k) / tail;
        return java.util.stream.IntStream.range(0, scores.length)
                .mapToDouble(i -> Math.min(1, lambda * scores[i]))
                .toArray();
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4, 5, 6, 7, 8})
    void gridProbabilitiesAreThoseOfTheLoopAndOfTheClosedForm(long seed) {
        int count = 256;
        int budget = 128;
        float[] scores = scores(seed, count);
        double[] loop = byLoop(scores, budget);
        assertArrayEquals(loop, inClosedForm(scores, budget), 1e-9);
        int[] grid = LeverageSampling.gridProbabilities(scores, budget);
        long sum = 0;
        for (int i = 0; i < count; i++) {
            // Rounded down by less than 1, and lifted to 1, of 2^-24 each; so lambda is larger than the exact one by
            // what
            // all rows lose: count + 1 of 2^-24 in their sum, 2^-23 of itself for its own and the product's rounding.
            assertEquals(loop[i], grid[i] / GRID, (2 * count + 4) / GRID);
            assertTrue(scores[i] == 0 ? grid[i] == 0 : grid[i] >= 1 && grid[i] <= 1 << 24);
            sum += grid[i];
        }
        assertTrue(sum <= (long) budget << 24, "sum of p is " + sum / GRID);
        // The next float of lambda lifts a row by at most 2^-23 of its p, and 1 for the floor: 3 each.
        assertTrue(((long) budget << 24) - sum < 3L * count, "the next lambda exceeds the budget");
    }

    private static double power(int exponent) {
        return exponent == NEVER ? 0 : Math.scalb(1.0, -exponent);
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4, 5, 6, 7, 8})
    void powersOfTwoAreTheLargestWithinTheBudget(long seed) {
        int count = 256;
        int budget = 128;
        float[] scores = scores(seed, count);
        byte[] exponents = LeverageSampling.exponents(scores, budget);
        // Row i has exponent j from lambda = 2^-j / c on; so lambda lies from `from` to below `to`, where the next row
        // moves.
        double from = 0;
        double to = Double.POSITIVE_INFINITY;
        double sum = 0;
        for (int i = 0; i < count; i++) {
            assertEquals(scores[i] == 0, exponents[i] == NEVER);
            sum += power(exponents[i]);
            if (exponents[i] >= 0 && exponents[i] < 15) {
                from = Math.max(from, power(exponents[i]) / scores[i]);
            }
            if (exponents[i] > 0) {
                to = Math.min(to, 2 * power(exponents[i]) / scores[i]);
            }
        }
        assertTrue(from < to, "one lambda gives all of them");
        assertTrue(sum <= budget, "sum of p is " + sum);
        double next = sum;
        for (int i = 0; i < count; i++) {
            boolean moves = exponents[i] > 0 && 2 * power(exponents[i]) / scores[i] <= to;
            next += moves ? power(exponents[i]) : 0;
        }
        assertTrue(next > budget, "the next change gives " + next);
        double[] closed = inClosedForm(scores, budget);
        for (int i = 0; i < count; i++) {
            // lambda is at most twice the exact one, since half of it leaves each p below the exact one
            assertTrue(power(exponents[i]) <= Math.max(2 * closed[i], 0x1p-15), "row " + i);
        }
    }

    @Test
    void rowsThatFitTheBudgetAreAllKept() {
        float[] scores = {3, 0, 1e-30f, 5e20f, 0, 1};
        assertArrayEquals(new byte[] {0, NEVER, 0, 0, NEVER, 0}, LeverageSampling.exponents(scores, 4));
        int one = 1 << 24;
        assertArrayEquals(new int[] {one, 0, one, one, 0, one}, LeverageSampling.gridProbabilities(scores, 4));
    }

    @Test
    void zerosAreNeverKept() {
        assertArrayEquals(new byte[] {NEVER, NEVER}, LeverageSampling.exponents(new float[2], 1));
        assertArrayEquals(new int[2], LeverageSampling.gridProbabilities(new float[2], 1));
        assertArrayEquals(new int[0], LeverageSampling.gridProbabilities(new float[0], 0));
    }

    @Test
    void equalScoresShareTheBudget() {
        float[] scores = new float[64]; // [rows]
        Arrays.fill(scores, 0.3f);
        byte[] exponents = LeverageSampling.exponents(scores, 32);
        int[] grid = LeverageSampling.gridProbabilities(scores, 32);
        for (int i = 0; i < scores.length; i++) {
            assertEquals(1, exponents[i]);
            assertEquals(1 << 23, grid[i]);
        }
        assertEquals(2, LeverageSampling.exponents(scores, 31)[0], "together or not at all");
    }

    @Test
    void smallestProbabilitiesStandEvenIfTheyExceedTheBudget() {
        float[] scores = {1, 2, 3};
        assertArrayEquals(new byte[] {15, 15, 15}, LeverageSampling.exponents(scores, 0));
        assertArrayEquals(new int[] {1, 1, 1}, LeverageSampling.gridProbabilities(scores, 0));
    }

    @Test
    void scoresOfAnySizeHaveAProbability() {
        float[] scores = {Float.MIN_VALUE, Float.MAX_VALUE, Float.POSITIVE_INFINITY, 1, 1e-20f, 0x1p-126f};
        byte[] exponents = LeverageSampling.exponents(scores, 3);
        int[] grid = LeverageSampling.gridProbabilities(scores, 3);
        double sum = 0;
        double gridSum = 0;
        for (int i = 0; i < scores.length; i++) {
            assertTrue(exponents[i] >= 0 && exponents[i] <= 15, "exponent " + exponents[i]);
            assertTrue(grid[i] >= 1 && grid[i] <= 1 << 24, "probability " + grid[i]);
            sum += power(exponents[i]);
            gridSum += grid[i] / GRID;
        }
        assertEquals(0, exponents[2]);
        assertTrue(sum <= 3 && gridSum <= 3);
    }
}
