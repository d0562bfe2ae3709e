package dev.nibble.quant.int4;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.gemm.Epilogue;
import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Product;
import dev.nibble.gemm.Sampling;
import dev.nibble.gemm.Term;
import dev.nibble.quant.Granularity;
import dev.nibble.quant.HadamardSearch;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.ScaleRule;
import dev.nibble.quant.SplitMode;
import dev.nibble.quant.StraightThrough;
import dev.nibble.quant.Transform;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearPlan;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.OptionSpec;
import dev.nibble.spi.PlanRequest;
import dev.nibble.spi.Plugins;
import dev.nibble.spi.QuantizerProvider;
import dev.nibble.spi.Spi;
import dev.nibble.state.StateVector;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Role;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class PlanTests {
    private static final PlanRequest FRESH = new PlanRequest(256, true);
    private static final PlanRequest TRAINED = new PlanRequest(256, false);
    private static final Transform HADAMARD = new Transform.BlockHadamard("hadamard");
    private static final ScaleRule FIRST = new ScaleRule.MeanMagnitude();

    private static LinearQuantizer quantizer(Map<String, String> options, long in) {
        return Layer.quantizer(options, new LinearLayer(Layer.SITE, in, 8));
    }

    private static LinearPlan plan(Map<String, String> options, PlanRequest request) {
        return quantizer(options, 64).plan(request);
    }

    private static QuantizeSpec int4(Role role, ScaleRule rule, Transform transform) {
        PlaneSpec plane = PlaneSpec.value(DType.INT4, new Granularity.PerTensor(), rule, Rounding.NEAREST_EVEN);
        return QuantizeSpec.both(role, List.of(plane)).with(transform);
    }

    private static ScaleRule given(String state) {
        return new ScaleRule.Given(state, ScaleRule.Application.SCALE, FIRST);
    }

    private static String message(Map<String, String> options, long in) {
        return assertThrows(IllegalArgumentException.class, () -> quantizer(options, in))
                .getMessage();
    }

    @Test
    void isFoundByNameWithTheDocumentedDefaults() {
        QuantizerProvider provider = Plugins.quantizers().get("int4");
        assertEquals("int4", provider.name());
        assertEquals(Spi.VERSION, provider.spiVersion());
        assertEquals(Int4Provider.class, provider.getClass());
        assertEquals(
                Map.of(
                        "hadamard", "auto",
                        "split", "u",
                        "sampling", "lss",
                        "coldStart", "1",
                        "learnSteps", "true",
                        "stepRate", "1"),
                provider.options().stream().collect(Collectors.toMap(OptionSpec::name, OptionSpec::defaultValue)));
    }

    @Test
    void freshLayerTakesItsStepsFromTheBatch() {
        LinearPlan plan = plan(Map.of(), FRESH);
        assertEquals(int4(Role.INPUT, FIRST, HADAMARD), plan.input());
        assertEquals(int4(Role.WEIGHT, FIRST, HADAMARD), plan.weight());
        assertTrue(plan.input().sharesCodes() && plan.weight().sharesCodes());
        assertEquals(Optional.empty(), plan.search());
    }

    @Test
    void trainedLayerTakesItsStepsFromTheState() {
        LinearPlan plan = plan(Map.of(), TRAINED);
        assertEquals(int4(Role.INPUT, given("stepX"), HADAMARD), plan.input());
        assertEquals(int4(Role.WEIGHT, given("stepW"), HADAMARD), plan.weight());
        assertEquals(Optional.of(new StraightThrough(HADAMARD, "stepX", "stepXGradient", 7)), plan.inputClip());
        assertEquals(Optional.of(new StraightThrough(HADAMARD, "stepW", "stepWGradient", 7)), plan.weightClip());
        assertEquals(plan.inputClip(), plan(Map.of(), FRESH).inputClip());
        assertEquals(plan.weightClip(), plan(Map.of(), FRESH).weightClip());
    }

    @ParameterizedTest
    @CsvSource({"u, lss, UNBIASED, LEVERAGE", "r, z, RELEASED, NONZERO_ROWS", "u, none, UNBIASED, NONE"})
    void gradientIsTwoDigitsOfWhichEachProductSamplesRows(
            String split, String sampling, SplitMode mode, Sampling rows) {
        LinearPlan plan = plan(Map.of("split", split, "sampling", sampling), TRAINED);
        assertEquals(QuantizeSpec.both(Role.GRAD_OUTPUT, PlaneSpec.digits(mode)), plan.gradOutput());
        List<Term> digits = List.of(new Term(0, 0), new Term(1, 0));
        assertEquals(GemmSpec.of(Product.OUTPUT, Epilogue.STORE), plan.output());
        assertEquals(new GemmSpec(Product.GRAD_INPUT, digits, rows, Epilogue.STORE), plan.gradInput());
        assertEquals(new GemmSpec(Product.GRAD_WEIGHT, digits, rows, Epilogue.ADD), plan.gradWeight());
    }

    @ParameterizedTest
    @CsvSource({"256, 5", "704, 5", "48, 4", "8, 3", "13, 0", "1, 0"})
    void blockIsThirtyTwoOrTheLargestPowerOfTwoThatDivides(long in, float log2) {
        assertTrue(quantizer(Map.of(), in).state().contains(StateVector.scalar("hadamard", log2)));
    }

    @ParameterizedTest
    @CsvSource({"1, 0", "2, 1", "64, 6", "1024, 10"})
    void blockCanBeGiven(String size, float log2) {
        LinearQuantizer quantizer = quantizer(Map.of("hadamard", size), 2048);
        assertTrue(quantizer.state().contains(StateVector.scalar("hadamard", log2)));
        assertEquals(HADAMARD, quantizer.plan(TRAINED).input().transform());
    }

    @Test
    void noneIsNoTransformAtAll() {
        LinearPlan plan = plan(Map.of("hadamard", "none"), TRAINED);
        assertEquals(int4(Role.INPUT, given("stepX"), new Transform.Identity()), plan.input());
        assertEquals(int4(Role.WEIGHT, given("stepW"), new Transform.Identity()), plan.weight());
        assertEquals(new Transform.Identity(), plan.inputClip().orElseThrow().transform());
        assertEquals(new Transform.Identity(), plan.weightClip().orElseThrow().transform());
    }

    @ParameterizedTest
    @CsvSource({"64, 64", "48, 16", "4096, 1024", "13, 1"})
    void searchTriesEveryPowerOfTwoThatDividesWhileTheLayerIsFresh(long in, int largest) {
        LinearQuantizer quantizer = quantizer(Map.of("hadamard", "search"), in);
        HadamardSearch search = quantizer.plan(FRESH).search().orElseThrow();
        assertEquals(1, search.sizes().getFirst());
        assertEquals(largest, search.sizes().getLast());
        assertEquals(Integer.numberOfTrailingZeros(largest) + 1, search.sizes().size());
        assertEquals("hadamard", search.state());
        assertEquals(7, search.top());
        assertEquals(Optional.empty(), quantizer.plan(TRAINED).search());
    }

    @Test
    void coldStartIsTheNumberOfFreshSteps() {
        assertEquals(1, quantizer(Map.of("coldStart", "1"), 8).freshSteps());
        assertEquals(25, quantizer(Map.of("coldStart", "25"), 8).freshSteps());
    }

    @Test
    void stateBeginsWithoutSteps() {
        Map<String, List<Float>> state = quantizer(Map.of(), 64).state().stream()
                .collect(Collectors.toMap(StateVector::name, StateVector::initial));
        for (String name : List.of("stepX", "stepW", "stepXGradient", "stepWGradient", "stepXFirst", "stepWSecond")) {
            assertEquals(List.of(0f), state.get(name), name);
        }
    }

    @Test
    void equalRequestsGiveEqualPlans() {
        for (PlanRequest request : List.of(FRESH, TRAINED)) {
            for (String hadamard : List.of("auto", "search", "none")) {
                LinearPlan first = plan(Map.of("hadamard", hadamard), request);
                LinearPlan second = plan(Map.of("hadamard", hadamard), request);
                assertEquals(first, second);
                assertEquals(first.hashCode(), second.hashCode());
            }
        }
        assertNotEquals(plan(Map.of(), TRAINED), plan(Map.of("stepRate", "2"), TRAINED));
        assertNotEquals(plan(Map.of(), TRAINED), plan(Map.of("learnSteps", "false"), TRAINED));
        assertEquals(
                plan(Map.of(), TRAINED),
                quantizer(Map.of(), 64).plan(new PlanRequest(256, false, PlanRequest.Phase.FINE_TUNE)));
    }

    @Test
    void blockThatDoesNotDivideIsOneClearError() {
        assertEquals(
                "option hadamard is 32, but must divide the 48 input features of layer blocks.0.mlp.down: at most 16 fits;"
                        + " use auto",
                message(Map.of("hadamard", "32"), 48));
        assertEquals(
                "option hadamard is 2, but must divide the 13 input features of layer blocks.0.mlp.down: at most 1 fits;"
                        + " use auto",
                message(Map.of("hadamard", "2"), 13));
    }

    @ParameterizedTest
    @ValueSource(strings = {"0", "3", "2048", "-2", "all", "", "99999999999"})
    void blockThatIsNoPowerOfTwoIsRefused(String size) {
        assertEquals(
                "option hadamard is '" + size + "', but must be auto, search, none, or a power of two up to 1024",
                message(Map.of("hadamard", size), 64));
    }

    @Test
    void badOptionsAreRejectedByName() {
        assertEquals("option coldStart is 0, but must be at least 1", message(Map.of("coldStart", "0"), 64));
        assertEquals(
                "option stepRate is -1.0, but must be finite and at least 0", message(Map.of("stepRate", "-1"), 64));
        assertEquals(
                "option stepRate is Infinity, but must be finite and at least 0",
                message(Map.of("stepRate", "1e300"), 64));
        assertEquals(
                "quantizer int4: option sampling is 'all', but must be one of [lss, z, none]",
                message(Map.of("sampling", "all"), 64));
        assertEquals(
                "quantizer int4: option split is 'x', but must be one of [u, r]", message(Map.of("split", "x"), 64));
    }
}
