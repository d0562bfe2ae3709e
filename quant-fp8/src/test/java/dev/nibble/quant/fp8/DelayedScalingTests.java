package dev.nibble.quant.fp8;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.host.HostQuantized;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.Statistic;
import dev.nibble.tensor.Role;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

class DelayedScalingTests {
    private static final float NAN = Float.NaN;
    private static final float INFINITY = Float.POSITIVE_INFINITY;

    private static Step layer(String... namesAndValues) {
        Map<String, String> options = new HashMap<>(Map.of("scaling", "delayed"));
        for (int i = 0; i < namesAndValues.length; i += 2) {
            options.put(namesAndValues[i], namesAndValues[i + 1]);
        }
        return new Step(options);
    }

    /** Quantizes a constant X, W and dY, and gathers. */
    private static void microBatch(Step step, float x, float w, float dy) {
        step.gather(
                constant(step, Role.INPUT, x), constant(step, Role.WEIGHT, w), constant(step, Role.GRAD_OUTPUT, dy));
    }

    private static HostQuantized constant(Step step, Role role, float value) {
        return step.quantize(role, new float[] {0, value, -value / 2}, 1, 3);
    }

    private static void train(Step step, float x, float w, float dy) {
        microBatch(step, x, w, dy);
        step.afterOptimizer(false);
    }

    private static float multiplier(Step step, Role role) {
        return step.state(DelayedScaling.multiplier(role))[0];
    }

    @ParameterizedTest
    @CsvSource({
        "max, 224 56 56 56 56 448 448 896 112",
        "most_recent, 224 56 448 896 1792 1792 1792 1792 112",
    })
    void goldenTrace(String amaxAlgo, String expected) {
        float[] amaxes = {2, 8, 1, 0.5f, 0.25f, 0.25f, 0, NAN, 4};
        float[] next = new float[amaxes.length]; // [step]
        String[] figures = expected.split(" ", -1);
        for (int i = 0; i < next.length; i++) {
            next[i] = Float.parseFloat(figures[i]);
        }
        boolean max = amaxAlgo.equals("max");
        try (Step step = max ? layer("history", "4") : layer("amaxAlgo", amaxAlgo)) {
            float used = 1;
            for (int i = 0; i < amaxes.length; i++) {
                step.begin(i);
                HostQuantized input = constant(step, Role.INPUT, amaxes[i]);
                assertEquals(1 / used, Step.scale(input.operand(Contraction.COLUMNS)), "step " + i);
                HostQuantized weight = constant(step, Role.WEIGHT, amaxes[i]);
                HostQuantized gradient = constant(step, Role.GRAD_OUTPUT, amaxes[i]);
                step.gather(input, weight, gradient);
                step.afterOptimizer(false);
                assertEquals(next[i], multiplier(step, Role.INPUT), "after step " + i);
                assertEquals(next[i], multiplier(step, Role.WEIGHT), "after step " + i);
                assertEquals(128 * next[i], multiplier(step, Role.GRAD_OUTPUT), "57344 is 128 · 448");
                used = next[i];
            }
            if (max) { // 0 did not enter, NaN did as 0
                assertArrayEquals(new float[] {4, 0, 0.25f, 0.25f}, step.state(DelayedScaling.history(Role.INPUT)));
            }
        }
    }

    /** A test of the library that the recipe comes from: with a growing tensor, both algorithms take the last amax. */
    @ParameterizedTest
    @ValueSource(strings = {"max", "most_recent"})
    void marginLeavesHeadroom(String amaxAlgo) {
        try (Step step = layer("amaxAlgo", amaxAlgo, "margin", "2")) {
            for (int i = 0; i < 5; i++) {
                step.begin(i);
                train(step, i + 0.25f, i + 0.5f, i + 0.75f);
                assertEquals(448 / (i + 0.25f) / 4, multiplier(step, Role.INPUT));
                assertEquals(448 / (i + 0.5f) / 4, multiplier(step, Role.WEIGHT));
                assertEquals(57344 / (i + 0.75f) / 4, multiplier(step, Role.GRAD_OUTPUT));
            }
        }
    }

    @Test
    void jumpSaturatesForOneStep() {
        float[] x = new float[256]; // [1, 256]: 1/256 .. 1
        for (int i = 0; i < x.length; i++) {
            x[i] = (i + 1) / 256f;
        }
        float[] jump = x.clone(); // [1, 256]: 8/256 .. 8
        for (int i = 0; i < x.length; i++) {
            jump[i] *= 8;
        }
        try (Step step = layer("history", "16")) {
            for (int i = 0; i < 3; i++) {
                step.begin(i);
                train(step, 1, 1, 1);
            }
            assertEquals(448, multiplier(step, Role.INPUT));
            HostQuantized settled = step.quantize(Role.INPUT, x, 1, 256);
            assertEquals(0, Step.statistic(settled, Statistic.SATURATED));
            step.begin(3);
            HostQuantized input = step.quantize(Role.INPUT, jump, 1, 256);
            // all above 1: 7 of 8 parts
            assertEquals(7 / 8f, Step.statistic(input, Statistic.SATURATED));
            float[] values = step.dequantize(input.operand(Contraction.COLUMNS));
            for (int i = 0; i < values.length; i++) {
                if (jump[i] >= 1) {
                    assertEquals(1, values[i], 0x1p-23f, "element " + jump[i]);
                }
            }
            step.gather(input, constant(step, Role.WEIGHT, 1), constant(step, Role.GRAD_OUTPUT, 1));
            step.afterOptimizer(false);
            assertEquals(56, multiplier(step, Role.INPUT));
            step.begin(4);
            HostQuantized next = step.quantize(Role.INPUT, jump, 1, 256);
            assertEquals(0, Step.statistic(next, Statistic.SATURATED));
            assertEquals(31.5, Golden.sqnr(jump, step.dequantize(next.operand(Contraction.COLUMNS))), 1);
        }
        // Current scaling sees the tensor first.
        try (Step step = new Step(Map.of())) {
            assertEquals(31.5, Golden.sqnr(jump, step.roundTrip(Role.INPUT, jump, 1, 256)), 1);
        }
    }

    @Test
    void largestMicroBatchCountsAndStateAdvancesOnceAStep() {
        try (Step step = layer("history", "3")) {
            microBatch(step, 2, 1, 0.5f);
            microBatch(step, 4, 1, 0.25f);
            microBatch(step, 1, 1, NAN); // a number counts more than NaN
            assertEquals(1, multiplier(step, Role.INPUT), "nothing moves before the optimizer has run");
            step.afterOptimizer(false);
            assertArrayEquals(new float[] {4, 0, 0}, step.state(DelayedScaling.history(Role.INPUT)));
            assertArrayEquals(new float[] {1, 0, 0}, step.state(DelayedScaling.history(Role.WEIGHT)));
            assertArrayEquals(new float[] {0.5f, 0, 0}, step.state(DelayedScaling.history(Role.GRAD_OUTPUT)));
            assertEquals(112, multiplier(step, Role.INPUT));
            step.begin(1);
            train(step, 1, 1, 1);
            assertArrayEquals(new float[] {1, 4, 0}, step.state(DelayedScaling.history(Role.INPUT)));
            for (int i = 2; i < 4; i++) {
                step.begin(i);
                train(step, 1, 1, 1);
            }
            assertArrayEquals(new float[] {1, 1, 1}, step.state(DelayedScaling.history(Role.INPUT)));
            assertEquals(448, multiplier(step, Role.INPUT), "the 4 has left the history");
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void orderOfMicroBatchesDoesNotMatter(boolean reversed) {
        float[] amaxes = {0, NAN, 3, 0, 5, NAN};
        try (Step step = layer("history", "2")) {
            for (int i = 0; i < amaxes.length; i++) {
                float amax = amaxes[reversed ? amaxes.length - 1 - i : i];
                microBatch(step, amax, amax, amax);
            }
            assertArrayEquals(new float[] {5}, step.state(DelayedScaling.gathered(Role.INPUT)));
        }
        try (Step step = layer("history", "2")) {
            microBatch(step, reversed ? NAN : 0, 1, 1);
            microBatch(step, reversed ? 0 : NAN, 1, 1);
            assertTrue(Float.isNaN(step.state(DelayedScaling.gathered(Role.INPUT))[0]));
        }
    }

    @Test
    void skippedStepChangesNothingAndIsForgotten() {
        try (Step step = layer("history", "3")) {
            train(step, 2, 2, 2);
            step.begin(1);
            microBatch(step, 100, 100, INFINITY);
            step.afterOptimizer(true);
            for (Role role : new Role[] {Role.INPUT, Role.WEIGHT, Role.GRAD_OUTPUT}) {
                assertArrayEquals(new float[] {2, 0, 0}, step.state(DelayedScaling.history(role)));
                assertArrayEquals(new float[] {0}, step.state(DelayedScaling.gathered(role)));
                assertEquals(role == Role.GRAD_OUTPUT ? 28672 : 224, multiplier(step, role));
            }
            step.begin(2);
            train(step, 1, 1, 1);
            assertArrayEquals(new float[] {1, 2, 0}, step.state(DelayedScaling.history(Role.INPUT)));
        }
    }

    @Test
    void zeroTensorLeavesTheHistoryAloneAndInfinityTheMultiplier() {
        try (Step step = layer("history", "2")) {
            train(step, 4, 4, 4);
            step.begin(1);
            train(step, 0, 4, 0);
            assertArrayEquals(new float[] {4, 0}, step.state(DelayedScaling.history(Role.INPUT)));
            assertArrayEquals(new float[] {4, 4}, step.state(DelayedScaling.history(Role.WEIGHT)));
            step.begin(2);
            train(step, INFINITY, 4, 1);
            assertArrayEquals(new float[] {INFINITY, 4}, step.state(DelayedScaling.history(Role.INPUT)));
            assertEquals(112, multiplier(step, Role.INPUT));
            step.begin(3);
            train(step, 1, 4, 1);
            assertEquals(112, multiplier(step, Role.INPUT), "infinity is still in the history");
            step.begin(4);
            train(step, 1, 4, 1);
            assertEquals(448, multiplier(step, Role.INPUT));
        }
    }

    @ParameterizedTest
    @CsvSource({
        "0x1p-149, 0x1.fffffep127, 0x1p127",
        "0x1p-126, 0x1.fffffep127, 0x1p127",
        "0x1.8p127, 0x1.2aaaaap-119, 0x1p-119",
        "0x1.8p0, 0x1.2aaaaap8, 0x1p8"
    })
    void multiplierStaysFiniteAndNormal(String amax, String multiplier, String powerOfTwo) {
        for (boolean pow2 : new boolean[] {false, true}) {
            try (Step step = layer("pow2", String.valueOf(pow2))) {
                float value = Float.parseFloat(amax);
                train(step, value, value, value);
                float expected = Float.parseFloat(pow2 ? powerOfTwo : multiplier);
                assertEquals(expected, multiplier(step, Role.INPUT));
                step.begin(1);
                float[] values = step.roundTrip(Role.INPUT, new float[] {value, 0}, 1, 2);
                assertTrue(Float.isFinite(values[0]));
                // half an ulp of E4M3; the tiniest tensor reaches half of the smallest code, if that
                assertEquals(value, values[0], Math.max(value * 0.0626, 0x1p-136));
            }
        }
    }

    @Test
    void largestMarginKeepsTheSmallestMultiplierNormal() {
        for (String pow2 : new String[] {"false", "true"}) {
            try (Step step = layer("margin", "6", "pow2", pow2)) {
                train(step, Float.MAX_VALUE, Float.MAX_VALUE, Float.MAX_VALUE);
                assertTrue(multiplier(step, Role.INPUT) >= Float.MIN_NORMAL);
                step.begin(1);
                float[] x = {Float.MAX_VALUE / 2}; // code · scale of the largest FP32 may round up to infinity
                assertEquals(x[0], step.roundTrip(Role.INPUT, x, 1, 1)[0], x[0] * 0.0626);
            }
        }
    }

    @ParameterizedTest
    @EnumSource(
            value = Role.class,
            names = {"INPUT", "WEIGHT", "GRAD_OUTPUT"})
    void firstStepMultipliesByOne(Role role) {
        try (Step step = layer()) {
            float top = role == Role.GRAD_OUTPUT ? 57344 : 448;
            float smallest = role == Role.GRAD_OUTPUT ? 0x1p-16f : 0x1p-9f;
            float[] x = {1, -2, 4 * top, smallest, smallest / 2};
            HostQuantized quantized = step.quantize(role, x, 1, x.length);
            assertEquals(1, Step.scale(quantized.operand(Contraction.COLUMNS)));
            assertArrayEquals(
                    new float[] {1, -2, top, smallest, 0}, step.dequantize(quantized.operand(Contraction.COLUMNS)));
            assertEquals(0.2f, Step.statistic(quantized, Statistic.SATURATED));
        }
    }

    @Test
    void bothContractionsShareTheirCodes() {
        float[] x = Golden.generate(9, 13 * 127); // [13, 127]
        try (Step step = layer()) {
            train(step, 3, 3, 3);
            step.begin(1);
            HostQuantized quantized = step.quantize(Role.INPUT, x, 13, 127);
            float[] columns = step.dequantize(quantized.operand(Contraction.COLUMNS)); // [13, 127]
            float[] rows = step.dequantize(quantized.operand(Contraction.ROWS)); // [127, 13]
            for (int i = 0; i < columns.length; i++) {
                assertEquals(columns[i], rows[i % 127 * 13 + i / 127]);
            }
        }
    }

    @Test
    void historyStartsEmpty() {
        try (Step step = layer("history", "1000")) {
            float[] history = step.state(DelayedScaling.history(Role.GRAD_OUTPUT)); // [1000]
            assertEquals(1000, history.length);
            assertEquals(0, Arrays.stream(toDoubles(history)).sum());
            train(step, 1, 1, 0);
            assertEquals(1, multiplier(step, Role.GRAD_OUTPUT), "no gradient yet");
            assertEquals(448, multiplier(step, Role.INPUT));
        }
    }

    private static double[] toDoubles(float[] x) {
        double[] out = new double[x.length]; // [x.length]
        for (int i = 0; i < x.length; i++) {
            out[i] = x[i];
        }
        return out;
    }
}
