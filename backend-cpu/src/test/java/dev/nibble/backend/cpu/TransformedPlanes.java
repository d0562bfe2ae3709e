package dev.nibble.backend.cpu;

import dev.nibble.quant.Granularity;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.ScaleRule;
import dev.nibble.quant.SplitMode;
import dev.nibble.quant.Threshold;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Role;
import java.util.List;

/** Planes that see a transformed matrix. */
final class TransformedPlanes {
    private TransformedPlanes() {}

    static List<QuantizeSpec> specs() {
        Granularity tensor = new Granularity.PerTensor();
        ScaleRule given = new ScaleRule.Given("step", ScaleRule.Application.SCALE, new ScaleRule.MeanMagnitude());
        PlaneSpec block = Fixture.int8(new Granularity.PerBlock(16, 32));
        return List.of(
                both(PlaneSpec.value(DType.INT4, tensor, given, Rounding.NEAREST_EVEN)),
                both(PlaneSpec.value(DType.INT4, tensor, new ScaleRule.MeanMagnitude(), Rounding.NEAREST_EVEN)),
                both(Fixture.fp8(DType.E4M3, new Granularity.PerRow())),
                QuantizeSpec.both(Role.INPUT, PlaneSpec.digits(SplitMode.UNBIASED)),
                QuantizeSpec.both(
                        Role.INPUT, List.of(block, PlaneSpec.residual(block, new Threshold.ExactQuantile(0.5)))),
                both(PlaneSpec.unscaled(DType.BF16)),
                both(PlaneSpec.unscaled(DType.FP32)));
    }

    private static QuantizeSpec both(PlaneSpec plane) {
        return QuantizeSpec.both(Role.INPUT, List.of(plane));
    }
}
