package dev.nibble.reference;

import dev.nibble.host.HostTensor;
import dev.nibble.quant.PlaneSource;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.SplitMode;
import dev.nibble.random.RandomStream;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.Role;

/** Rounds the elements of one matrix to the codes of a plane. */
final class PlaneRounding {
    private static final int HALF = 8; // half the base of the digits of mode U
    private static final float RELEASED_TOP = 6; // largest digit of mode R

    private final StepContext context;
    private final Site site;
    private final Role role;
    private final long seed;
    private final int rows;
    private final int cols;

    PlaneRounding(StepScope scope, Site site, Role role, long seed, int rows, int cols) {
        this.context = scope.context();
        this.site = site;
        this.role = role;
        this.seed = seed;
        this.rows = rows;
        this.cols = cols;
    }

    /** Draws the uniform numbers of a matrix in the order of its elements. */
    private final class Draws {
        private final RandomStream stream;
        private final boolean drawn;
        private final int[] words = new int[4]; // [4], of the elements 4q .. 4q+3

        Draws(int purpose, int sample, boolean drawn) {
            this.stream =
                    new RandomStream(seed, context.step(), context.microBatch(), site.ordinal(), role, purpose, sample);
            this.drawn = drawn;
        }

        float next(int element) {
            if (!drawn) {
                return 0;
            }
            if ((element & 3) == 0) {
                stream.quad(element >>> 2, words, 0);
            }
            return RandomStream.fromWord(words[element & 3]);
        }
    }

    /**
     * Rounds each element to its code.
     *
     * @param elements [rows, cols]
     * @param scales in the grid's order
     * @return elements beyond the range of the codes before rounding
     */
    long round(
            PlaneSpec plane,
            ScaleGrid grid,
            float[] elements,
            GroupScale[] scales,
            int purpose,
            int sample,
            HostTensor codes) {
        boolean stochastic = plane.rounding() == Rounding.STOCHASTIC || plane.rounding() == Rounding.STOCHASTIC_LOG;
        Draws draws = new Draws(purpose, sample, stochastic);
        CodeArray out = new CodeArray(codes);
        float low = plane.scaleRule().bottom(plane.format());
        float high = plane.scaleRule().top(plane.format());
        long saturated = 0;
        for (int row = 0; row < rows; row++) {
            for (int col = 0; col < cols; col++) {
                int element = row * cols + col;
                float u = draws.next(element);
                GroupScale scale = scales[grid.group(row, col)];
                if (scale.multiplier() == 0) {
                    out.set(row, col, 0);
                    continue;
                }
                float t = scale.apply(elements[element]);
                saturated += t > high || t < low ? 1 : 0;
                out.set(row, col, ElementCode.bits(plane, t, u));
            }
        }
        return saturated;
    }

    /** Writes one digit of each element. */
    void digit(PlaneSource.Digit digit, float[] elements, GroupScale scale, int purpose, HostTensor codes) {
        Draws draws = new Draws(purpose, 0, true);
        CodeArray out = new CodeArray(codes);
        for (int row = 0; row < rows; row++) {
            for (int col = 0; col < cols; col++) {
                int element = row * cols + col;
                float u = draws.next(element);
                int code = scale.multiplier() == 0 ? 0 : digit(digit, scale.apply(elements[element]), u);
                out.set(row, col, code);
            }
        }
    }

    private static int digit(PlaneSource.Digit digit, float t, float u) {
        SplitMode mode = digit.mode();
        if (mode == SplitMode.UNBIASED) {
            int v = Rounder.stochastic(t, u, -mode.top(), mode.top());
            int lower = ((v + HALF) & (mode.base() - 1)) - HALF;
            return digit.upper() ? (v - lower) / mode.base() : lower;
        }
        int upper = Rounder.nearest(t / mode.base(), -RELEASED_TOP, RELEASED_TOP);
        return digit.upper() ? upper : Rounder.stochastic(t - mode.base() * upper, u, -RELEASED_TOP, RELEASED_TOP);
    }

    /** {@return fma(-scale, code, x)} The stored scale counts: with another one the error would be its own. */
    float[] rest(HostTensor codes, ScaleGrid grid, float[] scales, float[] elements) {
        CodeArray stored = new CodeArray(codes);
        float[] rest = new float[elements.length]; // [rows, cols]
        for (int row = 0; row < rows; row++) {
            for (int col = 0; col < cols; col++) {
                int element = row * cols + col;
                float scale = scales.length == 0 ? 1 : scales[grid.group(row, col)];
                rest[element] = Math.fma(-scale, stored.value(row, col), elements[element]);
            }
        }
        return rest;
    }
}
