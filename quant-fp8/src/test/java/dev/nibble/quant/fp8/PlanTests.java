package dev.nibble.quant.fp8;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.quant.Contraction;
import dev.nibble.quant.Granularity;
import dev.nibble.quant.Overflow;
import dev.nibble.quant.PlaneSource;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.ScaleRule;
import dev.nibble.quant.Transform;
import dev.nibble.reference.GroupScale;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearPlan;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.PlanRequest;
import dev.nibble.spi.Site;
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
    private static final Granularity TENSOR = new Granularity.PerTensor();
    private static final Granularity ROW = new Granularity.PerRow();

    private static LinearPlan plan(Map<String, String> options) {
        return Step.quantizer(options).plan(new PlanRequest(128, false));
    }

    private static PlaneSpec plane(LinearPlan plan, Role role, Contraction contraction) {
        List<PlaneSpec> planes = plan.quantize(role).operand(contraction).planes();
        assertEquals(1, planes.size());
        return planes.getFirst();
    }

    private static Granularity block(int rows, int k) {
        return new Granularity.PerBlock(rows, k);
    }

    private static void assertGranularity(String scaling, Granularity input, Granularity weight) {
        LinearPlan plan = plan(Map.of("scaling", scaling));
        for (Contraction contraction : Contraction.values()) {
            assertEquals(input, plane(plan, Role.INPUT, contraction).granularity());
            assertEquals(input, plane(plan, Role.GRAD_OUTPUT, contraction).granularity());
            assertEquals(weight, plane(plan, Role.WEIGHT, contraction).granularity());
        }
    }

    @Test
    void scalingSaysWhatSharesAScale() {
        assertGranularity("tensor", TENSOR, TENSOR);
        assertGranularity("delayed", TENSOR, TENSOR);
        assertGranularity("row", ROW, ROW);
        assertGranularity("1x128", block(1, 128), block(128, 128));
        assertGranularity("128x128", block(128, 128), block(128, 128));
    }

    @Test
    void tensorsAndSquaresShareTheirCodesRowsAreQuantizedAnew() {
        assertTrue(plan(Map.of()).input().sharesCodes());
        assertTrue(plan(Map.of("scaling", "128x128")).gradOutput().sharesCodes());
        assertTrue(plan(Map.of("scaling", "1x128")).weight().sharesCodes());
        assertFalse(plan(Map.of("scaling", "1x128")).input().sharesCodes());
        assertFalse(plan(Map.of("scaling", "row")).weight().sharesCodes());
    }

    @Test
    void everyOptionReachesThePlane() {
        PlaneSpec gradient = plane(
                plan(Map.of(
                        "scaling", "row",
                        "pow2", "true",
                        "backward", "e4m3",
                        "overflow", "paper",
                        "eps", "1e-3",
                        "gradRounding", "stochastic")),
                Role.GRAD_OUTPUT,
                Contraction.ROWS);
        assertEquals(
                new PlaneSpec(
                        new PlaneSource.Value(),
                        DType.E4M3,
                        ROW,
                        new ScaleRule.TopOverAmax(true, 1e-3f),
                        Rounding.STOCHASTIC,
                        Overflow.PAPER),
                gradient);
    }

    @Test
    void forwardRoundingIsThatOfInputAndWeightAlone() {
        LinearPlan plan = plan(Map.of("forwardRounding", "stochastic"));
        for (Contraction contraction : Contraction.values()) {
            assertEquals(
                    Rounding.STOCHASTIC, plane(plan, Role.INPUT, contraction).rounding());
            assertEquals(
                    Rounding.STOCHASTIC, plane(plan, Role.WEIGHT, contraction).rounding());
            assertEquals(
                    Rounding.NEAREST_EVEN,
                    plane(plan, Role.GRAD_OUTPUT, contraction).rounding());
        }
    }

    @Test
    void amaxBelowEpsCountsAsEps() {
        try (Step step = new Step(Map.of("eps", "0.5"))) {
            for (float amax : new float[] {0, Float.MIN_VALUE, 0.25f, 0.5f}) {
                assertEquals(
                        1 / (448 / 0.5f),
                        Step.scale(step.quantize(Role.INPUT, new float[] {amax, 0}, 1, 2)
                                .operand(Contraction.COLUMNS)));
            }
            assertEquals(
                    1 / (448 / 0.75f),
                    Step.scale(
                            step.quantize(Role.INPUT, new float[] {0.75f}, 1, 1).operand(Contraction.COLUMNS)));
        }
    }

    @Test
    void delayedPlanHasStateAndPrograms() {
        LinearQuantizer quantizer = Step.quantizer(Map.of("scaling", "delayed", "history", "4"));
        assertEquals(9, quantizer.state().size());
        assertTrue(quantizer.state().contains(new StateVector("weightHistory", List.of(0f, 0f, 0f, 0f))));
        assertTrue(quantizer.state().contains(StateVector.scalar("gradOutputMultiplier", 1)));
        LinearPlan plan = quantizer.plan(new PlanRequest(1, false));
        assertNotEquals(StateProgram.EMPTY, plan.afterForward());
        assertNotEquals(StateProgram.EMPTY, plan.afterBackward());
        assertNotEquals(StateProgram.EMPTY, plan.afterOptimizer());
        assertEquals(plan, quantizer.plan(new PlanRequest(1, true)), "the first step has no plan of its own");
        assertEquals(
                6,
                Step.quantizer(Map.of("scaling", "delayed", "amaxAlgo", "most_recent"))
                        .state()
                        .size());
    }

    @ParameterizedTest
    @ValueSource(strings = {"tensor", "row", "1x128", "128x128"})
    void currentScalingHasNoState(String scaling) {
        LinearQuantizer quantizer = Step.quantizer(Map.of("scaling", scaling));
        assertEquals(List.of(), quantizer.state());
        LinearPlan plan = quantizer.plan(new PlanRequest(1, false));
        assertEquals(StateProgram.EMPTY, plan.beforeForward());
        assertEquals(StateProgram.EMPTY, plan.afterForward());
        assertEquals(StateProgram.EMPTY, plan.afterBackward());
        assertEquals(StateProgram.EMPTY, plan.afterOptimizer());
    }

    @Test
    void tensorwiseRecipeHasOneScaleATensor() {
        LinearPlan plan = plan(Map.of("recipe", "tensorwise"));
        for (Role role : new Role[] {Role.INPUT, Role.WEIGHT, Role.GRAD_OUTPUT}) {
            PlaneSpec expected = new PlaneSpec(
                    new PlaneSource.Value(),
                    role == Role.GRAD_OUTPUT ? DType.E5M2 : DType.E4M3,
                    TENSOR,
                    new ScaleRule.TopOverAmax(false, 1e-12f),
                    Rounding.NEAREST_EVEN,
                    Overflow.CLAMP);
            assertEquals(expected, plane(plan, role, Contraction.COLUMNS));
            assertTrue(plan.quantize(role).sharesCodes());
        }
    }

    private static PlaneSpec ofRecipe(Granularity granularity) {
        return new PlaneSpec(
                new PlaneSource.Value(),
                DType.E4M3,
                granularity,
                new ScaleRule.TopOverAmax(true, 1e-12f),
                Rounding.NEAREST_EVEN,
                Overflow.CLAMP);
    }

    @Test
    void rowwiseRecipeScalesAlongTheContractionOfEachProduct() {
        LinearPlan plan = plan(Map.of("recipe", "rowwise"));
        for (Role role : new Role[] {Role.INPUT, Role.WEIGHT, Role.GRAD_OUTPUT}) {
            for (Contraction contraction : Contraction.values()) {
                assertEquals(ofRecipe(ROW), plane(plan, role, contraction));
            }
        }
    }

    @Test
    void thirdRecipeComputesTheWeightGradientInBf16() {
        LinearPlan plan = plan(Map.of("recipe", "rowwise_with_gw_hp"));
        assertEquals(ofRecipe(ROW), plane(plan, Role.INPUT, Contraction.COLUMNS));
        assertEquals(ofRecipe(ROW), plane(plan, Role.WEIGHT, Contraction.COLUMNS));
        assertEquals(ofRecipe(ROW), plane(plan, Role.GRAD_OUTPUT, Contraction.COLUMNS));
        assertEquals(ofRecipe(TENSOR), plane(plan, Role.WEIGHT, Contraction.ROWS));
        assertEquals(PlaneSpec.unscaled(DType.BF16), plane(plan, Role.INPUT, Contraction.ROWS));
        assertEquals(PlaneSpec.unscaled(DType.BF16), plane(plan, Role.GRAD_OUTPUT, Contraction.ROWS));
    }

    /** The library divides by max((double) amax, 1e-12) in FP64 and rounds once. */
    @Test
    void recipeScalesAreThoseOfDivisionInDouble() {
        ScaleRule rule = new ScaleRule.TopOverAmax(false, 1e-12f);
        for (int i = 0; i < 100_000; i++) {
            float amax = Float.intBitsToFloat(0x2B8CBCCD + i * 9973); // from just above 1e-12 on
            float expected = (float) (448 / Math.max((double) amax, 1e-12));
            assertEquals(expected, GroupScale.of(rule, DType.E4M3, amax).multiplier(), "at " + amax);
        }
        for (float amax : new float[] {0, 1e-30f, 1e-13f}) {
            float expected = (float) (448 / 1e-12);
            assertEquals(expected, GroupScale.of(rule, DType.E4M3, amax).multiplier(), Math.ulp(expected));
        }
    }

    @ParameterizedTest
    @CsvSource({"blocks.0.mlp.down, true", "mlp.down, true", "blocks.0.mlp.gateUp, false", "blocks.0.attn.out, false"})
    void onlyLayersThatReadASwiGluAreSmoothed(String name, boolean smoothed) {
        LinearLayer layer = new LinearLayer(new Site(name, 1), 3, 2);
        for (String smooth : List.of("channel", "token")) {
            LinearQuantizer quantizer = Step.quantizer(Map.of("smooth", smooth), layer);
            LinearQuantizer plain = Step.quantizer(Map.of(), layer);
            PlanRequest request = new PlanRequest(4, true);
            assertEquals(smoothed, !quantizer.plan(request).equals(plain.plan(request)), smooth);
        }
    }

    @Test
    void channelsAreScaledInBothTensors() {
        LinearLayer layer = new LinearLayer(Step.SITE, 3, 2);
        LinearQuantizer quantizer = Step.quantizer(Map.of("smooth", "channel"), layer);
        assertEquals(List.of(new StateVector("smoothing", List.of(1f, 1f, 1f))), quantizer.state());
        LinearPlan plan = quantizer.plan(new PlanRequest(4, true));
        assertEquals(new Transform.ColumnScale("smoothing", false), plan.input().transform());
        assertEquals(new Transform.ColumnScale("smoothing", true), plan.weight().transform());
        assertEquals(new Transform.Identity(), plan.gradOutput().transform());
        assertNotEquals(StateProgram.EMPTY, plan.beforeForward());
    }

    @Test
    void tokensAreScaledInTheOutputAlone() {
        LinearPlan plan = plan(Map.of("smooth", "token"));
        assertEquals(ROW, plane(plan, Role.INPUT, Contraction.COLUMNS).granularity());
        assertEquals(TENSOR, plane(plan, Role.INPUT, Contraction.ROWS).granularity());
        assertEquals(TENSOR, plane(plan, Role.WEIGHT, Contraction.COLUMNS).granularity());
        assertEquals(new Transform.Identity(), plan.input().transform());
        LinearPlan delayed = plan(Map.of("smooth", "token", "scaling", "delayed"));
        assertTrue(plane(delayed, Role.INPUT, Contraction.COLUMNS).scaleRule() instanceof ScaleRule.TopOverAmax);
        assertTrue(plane(delayed, Role.INPUT, Contraction.ROWS).scaleRule() instanceof ScaleRule.Given);
    }
}
