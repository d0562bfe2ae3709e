package dev.nibble.quant.luq;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.gemm.Arithmetic;
import dev.nibble.gemm.Epilogue;
import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Product;
import dev.nibble.gemm.Segments;
import dev.nibble.gemm.Term;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.Granularity;
import dev.nibble.quant.OperandSpec;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.ScaleRule;
import dev.nibble.spi.LinearPlan;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.PlanRequest;
import dev.nibble.state.StateProgram;
import dev.nibble.state.StateVector;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Role;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class PlanTests {
    private static final PlanRequest TRAINED = new PlanRequest(256, false);
    private static final PlanRequest FRESH = new PlanRequest(256, true);
    private static final PlanRequest FINE_TUNE = new PlanRequest(256, false, PlanRequest.Phase.FINE_TUNE);
    private static final PlaneSpec FP32 = PlaneSpec.unscaled(DType.FP32);

    private static LinearPlan plan(Map<String, String> options) {
        return Layer.quantizer(options, false).plan(TRAINED);
    }

    private static PlaneSpec sawb(DType format, float divisor, int low, int high) {
        return plane(format, new ScaleRule.Sawb(12.1f, 12.2f, divisor, low, high), Rounding.NEAREST_EVEN);
    }

    private static PlaneSpec plane(DType format, ScaleRule rule, Rounding rounding) {
        return PlaneSpec.value(format, new Granularity.PerTensor(), rule, rounding);
    }

    private static PlaneSpec luq(DType format, int exponent) {
        return plane(format, new ScaleRule.AmaxOverPower(exponent, false), Rounding.STOCHASTIC);
    }

    private static void assertPlan(LinearPlan plan, PlaneSpec input, PlaneSpec weight, PlaneSpec gradOutput) {
        assertEquals(QuantizeSpec.both(Role.INPUT, List.of(input)), plan.input());
        assertEquals(QuantizeSpec.both(Role.WEIGHT, List.of(weight)), plan.weight());
        assertEquals(QuantizeSpec.both(Role.GRAD_OUTPUT, List.of(gradOutput)), plan.gradOutput());
        assertEquals(GemmSpec.of(Product.OUTPUT, Epilogue.STORE), plan.output());
        assertEquals(GemmSpec.of(Product.GRAD_INPUT, Epilogue.STORE), plan.gradInput());
        assertEquals(GemmSpec.of(Product.GRAD_WEIGHT, Epilogue.ADD), plan.gradWeight());
        for (Role role : List.of(Role.INPUT, Role.WEIGHT, Role.GRAD_OUTPUT)) {
            assertTrue(plan.quantize(role).sharesCodes(), role.label());
        }
        assertTrue(plan.inputClip().isEmpty() && plan.weightClip().isEmpty(), "gradients pass through, unmasked");
        assertEquals(StateProgram.EMPTY, plan.afterForward());
    }

    @Test
    void fourBitsEverywhereByDefault() {
        for (PlanRequest request : List.of(FRESH, TRAINED)) {
            for (boolean nonNegative : new boolean[] {true, false}) {
                LinearQuantizer quantizer = Layer.quantizer(Map.of(), nonNegative);
                LinearPlan plan = quantizer.plan(request);
                PlaneSpec signed = sawb(DType.INT4, 7, -7, 7);
                assertPlan(plan, nonNegative ? sawb(DType.UINT4, 15, 0, 15) : signed, signed, luq(DType.E3M0, 6));
                assertEquals(StateProgram.EMPTY, plan.afterBackward());
                assertEquals(StateProgram.EMPTY, plan.afterOptimizer());
                assertEquals(List.of(), quantizer.state());
            }
        }
    }

    @ParameterizedTest
    @CsvSource({"4, E3M0", "6, E3M0", "7, E4M0", "8, E4M0"})
    void exponentDecidesTheFormat(int exponent, DType format) {
        PlaneSpec signed = sawb(DType.INT4, 7, -7, 7);
        assertPlan(plan(Map.of("exponent", String.valueOf(exponent))), signed, signed, luq(format, exponent));
    }

    @ParameterizedTest
    @CsvSource({"rdnp, NEAREST_EVEN", "fp4-flush, NEAREST_FLUSH", "log-sr, STOCHASTIC_LOG"})
    void variantsDifferInRoundingAlone(String gradQuant, Rounding rounding) {
        PlaneSpec signed = sawb(DType.INT4, 7, -7, 7);
        ScaleRule rule = new ScaleRule.AmaxOverPower(6, false);
        assertPlan(plan(Map.of("gradQuant", gradQuant)), signed, signed, plane(DType.E3M0, rule, rounding));
    }

    @Test
    void otherGradientCodes() {
        PlaneSpec signed = sawb(DType.INT4, 7, -7, 7);
        PlaneSpec uniform = plane(DType.INT4, new ScaleRule.AmaxOverTop(), Rounding.STOCHASTIC);
        assertPlan(plan(Map.of("gradQuant", "int4-sr")), signed, signed, uniform);
        assertPlan(plan(Map.of("gradQuant", "none")), signed, signed, FP32);
        PlaneSpec rounded = plane(DType.E3M0, new ScaleRule.AmaxOverPower(6, true), Rounding.STOCHASTIC);
        assertPlan(plan(Map.of("powerOfTwo", "true")), signed, signed, rounded);
    }

    @Test
    void releasedGridsAreStoredInBytes() {
        PlaneSpec weight = sawb(DType.INT8, 8, -8, 8);
        Map<String, String> options = Map.of("intMode", "ref");
        assertPlan(plan(options), sawb(DType.INT8, 11.5f, -8, 15), weight, luq(DType.E3M0, 6));
        assertPlan(
                Layer.quantizer(options, true).plan(TRAINED),
                sawb(DType.INT8, 7.5f, 0, 15),
                weight,
                luq(DType.E3M0, 6));
    }

    @Test
    void eitherSideCanStayWide() {
        assertPlan(plan(Map.of("intMode", "none")), FP32, FP32, luq(DType.E3M0, 6));
        assertPlan(plan(Map.of("intMode", "none", "gradQuant", "none")), FP32, FP32, FP32);
        assertEquals(Arithmetic.CHAIN, Arithmetic.of(DType.E3M0, DType.FP32));
        assertEquals(Arithmetic.CHAIN, Arithmetic.of(DType.FP32, DType.INT4));
    }

    @Test
    void productsAverageTheirSamplesOfTheSameDraws() {
        LinearPlan plan = plan(Map.of("samplesGradWeight", "4", "samplesGradInput", "2"));
        PlaneSpec one = luq(DType.E3M0, 6);
        assertEquals(
                new QuantizeSpec(
                        Role.GRAD_OUTPUT,
                        List.of(
                                new OperandSpec(Contraction.COLUMNS, one.samples(2)),
                                new OperandSpec(Contraction.ROWS, one.samples(4)))),
                plan.gradOutput());
        assertTrue(plan.gradOutput().sharesCodes());
        assertEquals(
                List.of(new Term(0, 0, 0.5f, 1), new Term(1, 0, 0.5f, 1)),
                plan.gradInput().terms());
        assertEquals(
                List.of(
                        new Term(0, 0, 0.25f, 1),
                        new Term(1, 0, 0.25f, 1),
                        new Term(2, 0, 0.25f, 1),
                        new Term(3, 0, 0.25f, 1)),
                plan.gradWeight().terms());
        LinearPlan weightAlone = plan(Map.of("samplesGradWeight", "2"));
        assertTrue(weightAlone.gradOutput().sharesCodes());
        assertEquals(GemmSpec.of(Product.GRAD_INPUT, Epilogue.STORE), weightAlone.gradInput());
        LinearPlan inputAlone = plan(Map.of("samplesGradInput", "3"));
        assertTrue(inputAlone.gradOutput().sharesCodes());
        assertEquals(GemmSpec.of(Product.GRAD_WEIGHT, Epilogue.ADD), inputAlone.gradWeight());
        assertEquals(1f / 3, inputAlone.gradInput().terms().getLast().weightA());
    }

    @Test
    void hindsightTakesTheScaleFromState() {
        LinearQuantizer quantizer = Layer.quantizer(Map.of("hindsight", "0.9", "exponent", "7"), false);
        LinearPlan plan = quantizer.plan(FRESH);
        PlaneSpec signed = sawb(DType.INT4, 7, -7, 7);
        ScaleRule own = new ScaleRule.AmaxOverPower(7, false);
        ScaleRule given = new ScaleRule.Given("scale", ScaleRule.Application.SCALE, own);
        assertPlan(plan, signed, signed, plane(DType.E4M0, given, Rounding.STOCHASTIC));
        assertEquals(plan, quantizer.plan(TRAINED), "the first step's plan reads a scale of 0");
        List<String> names = List.of("scale", "maximum", "saturated", "largest", "saturatedSum", "passes");
        assertEquals(names.stream().map(name -> StateVector.scalar(name, 0)).toList(), quantizer.state());
        assertEquals(
                Set.of("largest", "saturatedSum", "passes"),
                plan.afterBackward().results().keySet());
        assertEquals(Set.copyOf(names), plan.afterOptimizer().results().keySet());
    }

    @Test
    void fineTuningKeepsTheCodesOfTheWeightAlone() {
        for (Map<String, String> options : List.of(
                Map.<String, String>of(),
                Map.of("hindsight", "0.5", "samplesGradWeight", "4"),
                Map.of("gradQuant", "rdnp", "exponent", "8"))) {
            LinearQuantizer quantizer = Layer.quantizer(options, true);
            LinearPlan plan = quantizer.plan(FINE_TUNE);
            assertPlan(plan, FP32, sawb(DType.INT4, 7, -7, 7), FP32);
            assertEquals(quantizer.plan(TRAINED).weight(), plan.weight(), "kept operands of W stay valid");
            assertEquals(StateProgram.EMPTY, plan.afterBackward());
            assertEquals(StateProgram.EMPTY, plan.afterOptimizer());
        }
        assertPlan(
                Layer.quantizer(Map.of("intMode", "ref"), false).plan(FINE_TUNE),
                FP32,
                sawb(DType.INT8, 8, -8, 8),
                FP32);
        assertPlan(Layer.quantizer(Map.of("intMode", "none"), false).plan(FINE_TUNE), FP32, FP32, FP32);
    }

    @Test
    void fineTuningKeepsTheCodesOfTheInputByOption() {
        for (boolean nonNegative : new boolean[] {true, false}) {
            LinearQuantizer quantizer = Layer.quantizer(Map.of("fineTuneInput", "quantized"), nonNegative);
            PlaneSpec signed = sawb(DType.INT4, 7, -7, 7);
            assertPlan(quantizer.plan(FINE_TUNE), nonNegative ? sawb(DType.UINT4, 15, 0, 15) : signed, signed, FP32);
            assertEquals(
                    quantizer.plan(TRAINED).input(), quantizer.plan(FINE_TUNE).input(), "as in evaluation");
        }
    }

    @Test
    void equalRequestsGiveEqualPlans() {
        List<Map<String, String>> all = List.of(
                Map.of(),
                Map.of("hindsight", "0.9", "powerOfTwo", "true"),
                Map.of("samplesGradWeight", "2"),
                Map.of("intMode", "ref"));
        for (Map<String, String> options : all) {
            for (PlanRequest request : List.of(FRESH, TRAINED, FINE_TUNE)) {
                LinearPlan first = Layer.quantizer(options, false).plan(request);
                PlanRequest again = new PlanRequest(request.tokens(), request.fresh(), request.phase());
                LinearPlan second = Layer.quantizer(options, false).plan(again);
                assertEquals(first, second);
                assertEquals(first.hashCode(), second.hashCode());
            }
            assertNotEquals(plan(options), plan(Map.of("gradQuant", "rdnp")));
        }
        assertNotEquals(plan(Map.of("hindsight", "0.9")), plan(Map.of("hindsight", "0.8")));
    }

    @ParameterizedTest
    @CsvSource({
        "E3M0, INT4, 64, 8",
        "E3M0, UINT4, 64, 15",
        "E3M0, INT8, 64, 127",
        "E4M0, UINT4, 256, 15",
        "E4M0, INT8, 256, 127"
    })
    void exactSumsAreCutBeforeTheyOverflow(DType gradient, DType other, long largest, long otherLargest) {
        // 10 million tokens: a convolution's update may be as long.
        long k = 10_000_000;
        Granularity one = new Granularity.PerTensor();
        long[] bounds = Segments.bounds(gradient, one, other, one, k, 0, k);
        assertEquals(k, bounds[bounds.length - 1]);
        for (int i = 1; i < bounds.length; i++) {
            assertTrue((bounds[i] - bounds[i - 1]) * largest * otherLargest <= Integer.MAX_VALUE, "segment " + i);
        }
    }
}
