package dev.nibble.quant.int8.fallback;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.gemm.Epilogue;
import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Product;
import dev.nibble.gemm.Term;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.Criterion;
import dev.nibble.quant.Granularity;
import dev.nibble.quant.OperandSpec;
import dev.nibble.quant.PlaneSource;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.ScaleRule;
import dev.nibble.quant.Threshold;
import dev.nibble.spi.LinearPlan;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.PlanRequest;
import dev.nibble.state.StateProgram;
import dev.nibble.state.StateVector;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Role;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class PlanTests {
    private static final PlanRequest TRAINED = new PlanRequest(256, false);
    private static final PlanRequest FRESH = new PlanRequest(256, true);
    private static final Granularity BLOCK = new Granularity.PerBlock(128, 128);

    private static PlaneSpec plane(Granularity granularity, Rounding rounding) {
        return PlaneSpec.value(DType.INT8, granularity, new ScaleRule.AmaxOverTop(), rounding);
    }

    private static LinearPlan fallback(Map<String, String> options, PlanRequest request) {
        return Step.quantizer("int8-fallback", options).plan(request);
    }

    private static List<PlaneSpec> withResidual(Threshold threshold) {
        PlaneSpec first = plane(BLOCK, Rounding.NEAREST_EVEN);
        PlaneSource residual = new PlaneSource.Residual(threshold);
        return List.of(
                first, new PlaneSpec(residual, DType.INT8, BLOCK, new ScaleRule.AmaxOverTop(), Rounding.NEAREST_EVEN));
    }

    private static void assertPlain(LinearQuantizer quantizer, Granularity granularity) {
        LinearPlan plan = quantizer.plan(TRAINED);
        List<PlaneSpec> nearest = List.of(plane(granularity, Rounding.NEAREST_EVEN));
        List<PlaneSpec> stochastic = List.of(plane(granularity, Rounding.STOCHASTIC));
        assertEquals(QuantizeSpec.both(Role.INPUT, nearest), plan.input());
        assertEquals(QuantizeSpec.both(Role.WEIGHT, nearest), plan.weight());
        assertEquals(QuantizeSpec.both(Role.GRAD_OUTPUT, stochastic), plan.gradOutput());
        List<Term> one = List.of(new Term(0, 0));
        assertEquals(new GemmSpec(Product.OUTPUT, one, Epilogue.STORE), plan.output());
        assertEquals(new GemmSpec(Product.GRAD_INPUT, one, Epilogue.STORE), plan.gradInput());
        assertEquals(new GemmSpec(Product.GRAD_WEIGHT, one, Epilogue.ADD), plan.gradWeight());
        assertEquals(StateProgram.EMPTY, plan.afterForward());
        assertEquals(StateProgram.EMPTY, plan.afterOptimizer());
        assertEquals(List.of(), quantizer.state());
    }

    @Test
    void rowHasOneScaleForEachRowOfEachOperand() {
        assertPlain(Step.quantizer("int8-row", Map.of()), new Granularity.PerRow());
    }

    @ParameterizedTest
    @CsvSource({"128, 128, 128", "128x256, 128, 256", "32x32, 32, 32"})
    void blockHasOneScaleForEachBlock(String block, int rows, int k) {
        assertPlain(Step.quantizer("int8-block", Map.of("block", block)), new Granularity.PerBlock(rows, k));
    }

    @Test
    void onlySquareBlocksShareCodes() {
        for (Role role : List.of(Role.INPUT, Role.WEIGHT, Role.GRAD_OUTPUT)) {
            assertTrue(fallback(Map.of(), TRAINED).quantize(role).sharesCodes(), role.label());
            LinearPlan oblong = fallback(Map.of("block", "128x256"), TRAINED);
            assertFalse(oblong.quantize(role).sharesCodes(), role.label());
            LinearPlan row = Step.quantizer("int8-row", Map.of()).plan(TRAINED);
            assertFalse(row.quantize(role).sharesCodes(), role.label());
        }
    }

    @Test
    void modeAUsesTheResidualInTheOutputAlone() {
        LinearPlan plan = fallback(Map.of(), TRAINED);
        List<PlaneSpec> planes = withResidual(new Threshold.Delayed("threshold"));
        assertEquals(
                new QuantizeSpec(
                        Role.INPUT,
                        List.of(
                                new OperandSpec(Contraction.COLUMNS, planes),
                                new OperandSpec(Contraction.ROWS, List.of(planes.getFirst())))),
                plan.input());
        assertEquals(QuantizeSpec.both(Role.WEIGHT, List.of(planes.getFirst())), plan.weight());
        assertEquals(
                QuantizeSpec.both(Role.GRAD_OUTPUT, List.of(plane(BLOCK, Rounding.STOCHASTIC))), plan.gradOutput());
        assertEquals(
                new GemmSpec(Product.OUTPUT, List.of(new Term(0, 0), new Term(1, 0)), Epilogue.STORE), plan.output());
        assertEquals(GemmSpec.of(Product.GRAD_INPUT, Epilogue.STORE), plan.gradInput());
        assertEquals(GemmSpec.of(Product.GRAD_WEIGHT, Epilogue.ADD), plan.gradWeight());
    }

    @Test
    void modeBUsesTheResidualInTheWeightGradientToo() {
        LinearPlan a = fallback(Map.of(), TRAINED);
        LinearPlan b = fallback(Map.of("residualInGradWeight", "true"), TRAINED);
        assertEquals(QuantizeSpec.both(Role.INPUT, withResidual(new Threshold.Delayed("threshold"))), b.input());
        // dY is the left operand and has one plane; X is the right one and has two
        assertEquals(
                new GemmSpec(Product.GRAD_WEIGHT, List.of(new Term(0, 0), new Term(0, 1)), Epilogue.ADD),
                b.gradWeight());
        assertEquals(a.output(), b.output());
        assertEquals(a.gradInput(), b.gradInput());
        assertEquals(a.weight(), b.weight());
        assertEquals(a.gradOutput(), b.gradOutput());
    }

    @Test
    void freshLayerTakesTheQuantileInTheMiddleOfTheWindow() {
        LinearPlan plan = fallback(Map.of("rateMin", "0.125", "rateMax", "0.375"), FRESH);
        assertEquals(
                withResidual(new Threshold.ExactQuantile(0.75)),
                plan.input().operand(Contraction.COLUMNS).planes());
        LinearPlan trained = fallback(Map.of("rateMin", "0.125", "rateMax", "0.375"), TRAINED);
        assertEquals(
                withResidual(new Threshold.Delayed("threshold")),
                trained.input().operand(Contraction.COLUMNS).planes());
        // What does not depend on the threshold is the same, so that operands of W can be kept across the change.
        assertEquals(trained.weight(), plan.weight());
        assertEquals(trained.gradOutput(), plan.gradOutput());
        assertEquals(trained.gradWeight(), plan.gradWeight());
        assertEquals(trained.afterForward(), plan.afterForward());
        assertEquals(trained.afterOptimizer(), plan.afterOptimizer());
    }

    private static PlaneSource residual(Map<String, String> options, PlanRequest request) {
        return fallback(options, request)
                .input()
                .operand(Contraction.COLUMNS)
                .planes()
                .get(1)
                .source();
    }

    @ParameterizedTest
    @CsvSource({"absmax, ABSMAX", "l1, L1", "l1-rel, L1_RELATIVE"})
    void criterionIsThatOfTheResidualInBothModes(String name, Criterion criterion) {
        for (String modeB : List.of("false", "true")) {
            Map<String, String> options = Map.of("criterion", name, "residualInGradWeight", modeB);
            assertEquals(
                    new PlaneSource.Residual(new Threshold.Delayed("threshold"), criterion),
                    residual(options, TRAINED));
            assertEquals(
                    new PlaneSource.Residual(new Threshold.ExactQuantile(1 - (0.1f + 0.3f) / 2.0), criterion),
                    residual(options, FRESH));
            QuantizeSpec input = fallback(options, TRAINED).input();
            assertEquals(
                    modeB.equals("true"),
                    input.operand(Contraction.ROWS)
                            .planes()
                            .equals(input.operand(Contraction.COLUMNS).planes()));
        }
    }

    @Test
    void exactThresholdHasNoState() {
        LinearQuantizer quantizer = Step.quantizer("int8-fallback", Map.of("threshold", "exact"));
        assertEquals(List.of(), quantizer.state());
        assertEquals(quantizer.plan(FRESH), quantizer.plan(TRAINED));
        LinearPlan plan = quantizer.plan(TRAINED);
        assertEquals(
                withResidual(new Threshold.ExactQuantile(1 - (0.1f + 0.3f) / 2.0)),
                plan.input().operand(Contraction.COLUMNS).planes());
        assertTrue(plan.afterForward().isEmpty());
        assertTrue(plan.afterOptimizer().isEmpty());
    }

    @Test
    void cappedThresholdHasTheControllerOfTheDelayedOne() {
        LinearQuantizer capped = Step.quantizer("int8-fallback", Map.of("threshold", "capped", "rateMax", "0.25"));
        LinearQuantizer delayed = Step.quantizer("int8-fallback", Map.of("rateMax", "0.25"));
        assertEquals(delayed.state(), capped.state());
        assertEquals(delayed.plan(FRESH), capped.plan(FRESH));
        LinearPlan plan = capped.plan(TRAINED);
        assertEquals(
                withResidual(new Threshold.Capped("threshold", 0.25)),
                plan.input().operand(Contraction.COLUMNS).planes());
        assertEquals(delayed.plan(TRAINED).afterForward(), plan.afterForward());
        assertEquals(delayed.plan(TRAINED).afterOptimizer(), plan.afterOptimizer());
    }

    @Test
    void contextIsNoPartOfThePlan() {
        assertEquals(fallback(Map.of("contextBits", "8"), TRAINED), fallback(Map.of("contextBits", "32"), TRAINED));
    }

    @ParameterizedTest
    @CsvSource({"off, Infinity", "all, -1"})
    void fixedThresholdIsAStateThatNothingChanges(String threshold, float value) {
        LinearQuantizer quantizer = Step.quantizer("int8-fallback", Map.of("threshold", threshold));
        assertEquals(List.of(StateVector.scalar("threshold", value)), quantizer.state());
        for (PlanRequest request : List.of(FRESH, TRAINED)) {
            LinearPlan plan = quantizer.plan(request);
            assertEquals(
                    withResidual(new Threshold.Delayed("threshold")),
                    plan.input().operand(Contraction.COLUMNS).planes());
            assertTrue(plan.afterForward().isEmpty());
            assertTrue(plan.afterOptimizer().isEmpty());
        }
    }

    @Test
    void delayedThresholdHasTheStateOfItsController() {
        LinearQuantizer quantizer = Step.quantizer("int8-fallback", Map.of("alpha", "1.5"));
        List<String> names =
                List.of("threshold", "alpha", "flips", "rate", "direction", "streak", "candidate", "rateSum", "passes");
        assertEquals(names, quantizer.state().stream().map(StateVector::name).toList());
        assertEquals(
                StateVector.scalar("threshold", Float.POSITIVE_INFINITY),
                quantizer.state().get(0));
        assertEquals(StateVector.scalar("alpha", 1.5f), quantizer.state().get(1));
        for (StateVector vector : quantizer.state().subList(2, names.size())) {
            assertEquals(List.of(0f), vector.initial(), vector.name());
        }
        LinearPlan plan = quantizer.plan(TRAINED);
        assertEquals(
                List.of("candidate", "passes", "rateSum"),
                plan.afterForward().results().keySet().stream().sorted().toList());
        assertEquals(
                List.of("alpha", "candidate", "direction", "flips", "passes", "rate", "rateSum", "streak", "threshold"),
                plan.afterOptimizer().results().keySet().stream().sorted().toList());
    }

    @ParameterizedTest
    @ValueSource(strings = {"int8-row", "int8-block", "int8-fallback"})
    void equalRequestsGiveEqualPlans(String name) {
        for (PlanRequest request : List.of(FRESH, TRAINED)) {
            LinearPlan first = Step.quantizer(name, Map.of()).plan(request);
            LinearPlan second = Step.quantizer(name, Map.of()).plan(new PlanRequest(256, request.fresh()));
            assertEquals(first, second);
            assertEquals(first.hashCode(), second.hashCode());
        }
    }

    @Test
    void settingsOfTheControllerAreInThePlan() {
        LinearPlan plan = fallback(Map.of(), TRAINED);
        assertNotEquals(plan, fallback(Map.of("alpha", "1.5"), TRAINED)); // by the floor of alpha
        assertNotEquals(plan, fallback(Map.of("rateMax", "0.4"), TRAINED));
        assertNotEquals(plan, fallback(Map.of("flipDamping", "false"), TRAINED));
    }
}
