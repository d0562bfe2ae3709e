package dev.nibble.quant.fp8;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.nibble.gemm.Epilogue;
import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Product;
import dev.nibble.quant.Granularity;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.ScaleRule;
import dev.nibble.spi.LinearPlan;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.OptionSpec;
import dev.nibble.spi.PlanRequest;
import dev.nibble.spi.Plugins;
import dev.nibble.spi.QuantizerProvider;
import dev.nibble.spi.Spi;
import dev.nibble.state.StateProgram;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Role;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ProviderTests {
    private static String message(Map<String, String> options) {
        return assertThrows(IllegalArgumentException.class, () -> Step.quantizer(options))
                .getMessage();
    }

    private static List<PlaneSpec> planes(DType format, boolean powerOfTwo) {
        return List.of(PlaneSpec.value(
                format, new Granularity.PerTensor(), new ScaleRule.TopOverAmax(powerOfTwo), Rounding.NEAREST_EVEN));
    }

    @Test
    void isFoundByNameWithTheDocumentedDefaults() {
        QuantizerProvider provider = Plugins.quantizers().get("fp8");
        assertEquals("fp8", provider.name());
        assertEquals(Spi.VERSION, provider.spiVersion());
        assertEquals(Fp8Provider.class, provider.getClass());
        assertEquals(
                Map.ofEntries(
                        Map.entry("scaling", "tensor"),
                        Map.entry("pow2", "false"),
                        Map.entry("forward", "e4m3"),
                        Map.entry("backward", "e5m2"),
                        Map.entry("overflow", "saturate"),
                        Map.entry("eps", "0"),
                        Map.entry("history", "1024"),
                        Map.entry("amaxAlgo", "max"),
                        Map.entry("margin", "0"),
                        Map.entry("gradRounding", "nearest"),
                        Map.entry("forwardRounding", "nearest"),
                        Map.entry("smooth", "none"),
                        Map.entry("recipe", "none")),
                provider.options().stream().collect(Collectors.toMap(OptionSpec::name, OptionSpec::defaultValue)));
    }

    @ParameterizedTest
    @CsvSource({
        "e4m3, e5m2, false, E4M3, E5M2",
        "e4m3, e5m2, true, E4M3, E5M2",
        "e4m3, e4m3, false, E4M3, E4M3",
        "e5m2, e4m3, true, E5M2, E4M3"
    })
    void planHasOneScaleForEachTensorAndRoundsToNearest(
            String forward, String backward, boolean pow2, DType xAndW, DType gradient) {
        LinearQuantizer quantizer =
                Step.quantizer(Map.of("forward", forward, "backward", backward, "pow2", String.valueOf(pow2)));
        LinearPlan plan = quantizer.plan(new PlanRequest(128, true));
        assertEquals(QuantizeSpec.both(Role.INPUT, planes(xAndW, pow2)), plan.input());
        assertEquals(QuantizeSpec.both(Role.WEIGHT, planes(xAndW, pow2)), plan.weight());
        assertEquals(QuantizeSpec.both(Role.GRAD_OUTPUT, planes(gradient, pow2)), plan.gradOutput());
        assertEquals(GemmSpec.of(Product.OUTPUT, Epilogue.STORE), plan.output());
        assertEquals(GemmSpec.of(Product.GRAD_INPUT, Epilogue.STORE), plan.gradInput());
        assertEquals(GemmSpec.of(Product.GRAD_WEIGHT, Epilogue.ADD), plan.gradWeight());
        assertEquals(StateProgram.EMPTY, plan.afterForward());
        assertEquals(StateProgram.EMPTY, plan.afterOptimizer());
        assertEquals(List.of(), quantizer.state());
        assertEquals(plan, quantizer.plan(new PlanRequest(128, true)), "the same request");
        assertEquals(plan, quantizer.plan(new PlanRequest(128, false)), "there is no state to wait for");
    }

    @Test
    void twoWideFormatsAreRejected() {
        assertEquals(
                "options forward and backward are both e5m2, but one must be e4m3; no hardware multiplies e5m2 by e5m2",
                message(Map.of("forward", "e5m2")));
    }

    @Test
    void badOptionsAreRejectedByName() {
        assertEquals(
                "quantizer fp8: option forward is 'e3m4', but must be one of [e4m3, e5m2]",
                message(Map.of("forward", "e3m4")));
        assertEquals(
                "quantizer fp8: option pow2 is '1', but must be one of [true, false]", message(Map.of("pow2", "1")));
        assertEquals(
                "quantizer fp8: option scaling is 'rows', but must be one of [tensor, delayed, row, 1x128, 128x128]",
                message(Map.of("scaling", "rows")));
        assertEquals(
                "quantizer fp8: option overflow is 'wrap', but must be one of [saturate, clamp, paper, infinity]",
                message(Map.of("overflow", "wrap")));
        assertEquals(
                "quantizer fp8: 'forwards' is not an option; known: scaling, pow2, forward, backward, overflow, eps,"
                        + " history, amaxAlgo, margin, gradRounding, forwardRounding, smooth, recipe. Did you mean 'forward'?",
                message(Map.of("forwards", "e4m3")));
    }

    @Test
    void numbersOutOfRangeAreRejected() {
        assertEquals("option history is 0, but must be in 1..65536", message(delayed("history", "0")));
        assertEquals("option margin is 7, but must be in 0..6", message(delayed("margin", "7")));
        assertEquals("option margin is -1, but must be in 0..6", message(delayed("margin", "-1")));
        for (String eps : List.of("-1", "1e-60", "1e60")) {
            assertEquals(
                    "option eps is " + eps + ", but must be 0 or a positive FP32 number", message(Map.of("eps", eps)));
        }
    }

    private static Map<String, String> delayed(String name, String value) {
        return Map.of("scaling", "delayed", name, value);
    }

    @Test
    void optionsThatWouldChangeNothingAreRejected() {
        assertEquals(
                "option history is 16, but scaling is tensor; it needs scaling=delayed",
                message(Map.of("history", "16")));
        assertEquals(
                "option amaxAlgo is most_recent, but scaling is row; it needs scaling=delayed",
                message(Map.of("scaling", "row", "amaxAlgo", "most_recent")));
        assertEquals(
                "option eps is 1e-12, but scaling is delayed; it needs scaling=tensor, row, 1x128 or 128x128",
                message(delayed("eps", "1e-12")));
        assertEquals(
                "option history is 16, but amaxAlgo is most_recent; it needs amaxAlgo=max",
                message(Map.of("scaling", "delayed", "history", "16", "amaxAlgo", "most_recent")));
        assertEquals(
                "option smooth is token, but scaling is row, which has finer scales already; it needs scaling=tensor or"
                        + " scaling=delayed",
                message(Map.of("scaling", "row", "smooth", "token")));
    }

    @Test
    void recipeFixesAllOthers() {
        assertEquals(
                "option scaling is row, but recipe is rowwise; it needs recipe=none",
                message(Map.of("recipe", "rowwise", "scaling", "row")));
        assertEquals(
                "option pow2 is true, but recipe is tensorwise; it needs recipe=none; option smooth is token, but recipe is"
                        + " tensorwise; it needs recipe=none",
                message(Map.of("recipe", "tensorwise", "pow2", "true", "smooth", "token")));
    }

    @Test
    void problemsAreReportedTogether() {
        assertEquals(
                "option margin is 9, but must be in 0..6; option margin is 9, but scaling is 1x128; it needs"
                        + " scaling=delayed",
                message(Map.of("scaling", "1x128", "margin", "9")));
    }
}
