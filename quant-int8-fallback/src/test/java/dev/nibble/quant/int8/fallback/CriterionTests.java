package dev.nibble.quant.int8.fallback;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.gemm.Product;
import dev.nibble.host.HostOperand;
import dev.nibble.host.HostQuantized;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.Statistic;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearQuantizer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What a block is judged by, and where the threshold comes from. */
class CriterionTests {
    private static final int BLOCK = 16;
    private static final int BLOCKS = 10;

    /**
     * Ten blocks side by side. Block 0 has the largest amax, and all its elements are codes: it loses nothing. Block 1 loses
     * the most: all elements but its amax lie a half above a code. Block 2 is small, and loses the most for its size: of
     * its elements all but one are below half a scale, so that they are lost altogether.
     */
    private static Matrix input() {
        return new Matrix(new float[BLOCK * BLOCK * BLOCKS], BLOCK, BLOCK * BLOCKS).map((row, col, _) -> {
            boolean first = row == 0 && col % BLOCK == 0;
            return switch (col / BLOCK) {
                case 0 -> first ? 1270 : 10 * (row - 5);
                case 1 -> first ? 127 : row + 0.5f;
                case 2 -> first ? 1.27f : 0.004f;
                default -> first ? 2.54f : 0.02f * (row + 1) + 0.001f * Math.floorDiv(col, BLOCK);
            };
        });
    }

    private static Map<String, String> options(String criterion, String... more) {
        Map<String, String> options = new HashMap<>(Map.of("block", "16", "criterion", criterion));
        for (int i = 0; i < more.length; i += 2) {
            options.put(more[i], more[i + 1]);
        }
        return options;
    }

    private static LinearQuantizer quantizer(Map<String, String> options) {
        return Step.quantizer("int8-fallback", options, new LinearLayer(Step.SITE, BLOCK * BLOCKS, 1));
    }

    private static List<Integer> flagged(HostQuantized quantized) {
        HostOperand operand = HostOperand.of(quantized.operand(Contraction.COLUMNS));
        byte[] mask = operand.planes().get(1).mask().bytes(); // [kGroups, 1]
        List<Integer> flagged = new ArrayList<>();
        for (int i = 0; i < mask.length; i++) {
            if (mask[i] != 0) {
                flagged.add(i);
            }
        }
        return flagged;
    }

    @ParameterizedTest
    @CsvSource({"absmax, 0", "l1, 1", "l1-rel, 2"})
    void quantileOfTheFirstStepIsThatOfTheCriterion(String criterion, int block) {
        // 10 % of 10 blocks: the one with the largest metric
        LinearQuantizer quantizer = quantizer(options(criterion, "rateMin", "0.05", "rateMax", "0.15"));
        try (Step step = new Step(quantizer, 0, true, BLOCK)) {
            HostQuantized quantized = step.quantize(step.plan().input(), input());
            assertEquals(List.of(block), flagged(quantized));
            assertEquals(0.1f, Step.statistic(quantized, Statistic.FALLBACK_RATE));
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"absmax", "l1", "l1-rel"})
    void thresholdThatTheFirstStepFoundGivesTheSameBlocksWhenItIsDelayed(String criterion) {
        LinearQuantizer quantizer = quantizer(options(criterion));
        try (Step first = new Step(quantizer, 0, true, BLOCK);
                Step second = new Step(quantizer, 1, false, BLOCK)) {
            HostQuantized fresh = first.quantize(first.plan().input(), input());
            float threshold = Step.statistic(fresh, Statistic.THRESHOLD);
            second.set("threshold", threshold);
            HostQuantized delayed = second.quantize(second.plan().input(), input());
            assertEquals(threshold, Step.statistic(delayed, Statistic.THRESHOLD));
            assertEquals(2, flagged(delayed).size(), "a fifth of 10 blocks");
            assertEquals(flagged(fresh), flagged(delayed));
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"absmax", "l1", "l1-rel"})
    void thresholdInfinityIsOffAndMinusOneIsAllForEveryCriterion(String criterion) {
        SplittableRandom random = new SplittableRandom(5);
        Matrix x = Matrix.normal(random, 33, 47, 1);
        Matrix w = Matrix.normal(random, 17, 47, 0.02f);
        Matrix dy = Matrix.normal(random, 33, 17, 1e-3f);
        for (String threshold : List.of("off", "all")) {
            try (Step fixed = new Step(quantizer(options(criterion, "threshold", threshold)), 4, false);
                    Step delayed = new Step(quantizer(options(criterion)), 4, false)) {
                delayed.set("threshold", threshold.equals("off") ? Float.POSITIVE_INFINITY : -1f);
                for (Product product : Product.values()) {
                    float[] expected = fixed.product(product, x, w, dy).values();
                    assertArrayEquals(
                            expected, delayed.product(product, x, w, dy).values(), product.label());
                }
                float rate = Step.statistic(fixed.quantize(fixed.plan().input(), x), Statistic.FALLBACK_RATE);
                assertEquals(threshold.equals("off") ? 0 : 1, rate);
            }
        }
    }

    @ParameterizedTest
    @CsvSource({"-1, 3", "0.01, 3", "100, 2", "200, 1", "Infinity, 0"})
    void capHoldsWhateverTheStateSays(float state, int flagged) {
        // 0.3 of 10 blocks; amaxes are 1270, 127, and less than 3
        try (Step step = new Step(quantizer(options("absmax", "threshold", "capped")), 1, false, BLOCK)) {
            step.set("threshold", state);
            HostQuantized quantized = step.quantize(step.plan().input(), distinct());
            assertEquals(flagged, flagged(quantized).size());
            float threshold = Step.statistic(quantized, Statistic.THRESHOLD);
            assertTrue(threshold >= state, threshold + " in force, state " + state);
        }
    }

    /** {@link #input} with amaxes that are all different. */
    private static Matrix distinct() {
        return input().map((row, col, v) -> row == 0 && col % BLOCK == 0 && col >= 2 * BLOCK ? 2 + col * 0.001f : v);
    }

    @ParameterizedTest
    @ValueSource(strings = {"exact", "capped", "delayed"})
    void criteriaAgreeOnOccasionalOutliers(String threshold) {
        // Where outliers stand far out, every criterion finds their blocks: 3 of 40 blocks, under a rate of 20 %.
        SplittableRandom random = new SplittableRandom(9);
        Matrix x = Matrix.normal(random, 64, 160, 1)
                .map((row, col, v) ->
                        (row == 3 && col == 5) || (row == 20 && col == 100) || (row == 63 && col == 159) ? 500 : v);
        List<Integer> expected = List.of(0, 25, 39); // [kGroups][rowGroups], 4 row groups
        for (String criterion : List.of("absmax", "l1", "l1-rel")) {
            try (Step step = new Step(quantizer(options(criterion, "threshold", threshold)), 0, true, 64)) {
                List<Integer> flagged = flagged(step.quantize(step.plan().input(), x));
                assertEquals(8, flagged.size(), criterion);
                assertTrue(flagged.containsAll(expected), criterion + ": " + flagged);
            }
        }
    }

    @Test
    void blocksThatAreNotFiniteNeverFallBackUnderAnyCriterion() {
        Matrix x = input().map((row, col, v) -> row == 2 && col == 2 ? Float.POSITIVE_INFINITY : v)
                .map((row, col, v) -> row == 2 && col == BLOCK + 2 ? Float.NaN : v);
        for (String criterion : List.of("absmax", "l1", "l1-rel")) {
            try (Step step = new Step(quantizer(options(criterion, "threshold", "all")), 0, false, BLOCK)) {
                List<Integer> flagged = flagged(step.quantize(step.plan().input(), x));
                assertEquals(List.of(2, 3, 4, 5, 6, 7, 8, 9), flagged, criterion);
            }
        }
    }
}
