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
                Map.of("scaling", "tensor", "pow2", "false", "forward", "e4m3", "backward", "e5m2"),
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
                "quantizer fp8: option scaling is 'row', but must be one of [tensor]",
                message(Map.of("scaling", "row")));
        assertEquals(
                "quantizer fp8: 'forwards' is not an option; known: scaling, pow2, forward, backward. Did you mean"
                        + " 'forward'?",
                message(Map.of("forwards", "e4m3")));
    }
}
