package dev.nibble.bench;

import dev.nibble.quant.Contraction;
import dev.nibble.quant.Granularity;
import dev.nibble.quant.OperandSpec;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.ScaleRule;
import dev.nibble.quant.SplitMode;
import dev.nibble.quant.Threshold;
import dev.nibble.quant.Transform;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Role;
import java.util.List;
import java.util.Map;

/**
 * What one tensor is quantized to.
 *
 * @param name of its row
 * @param spec what is asked for
 * @param floor smallest share of a copy's rate: 0.25 where it rounds to nearest, 0.1 where it draws
 */
record QuantizeKernel(String name, QuantizeSpec spec, double floor) {
    /** The device values that the specs read; of normal blocks of 128 x 128, one in eight or so is above the threshold. */
    static final Map<String, Float> STATE = Map.of("threshold", 4.4f, "step", 0.6f, "log2", 5f);

    private static final double NEAREST_FLOOR = 0.25;
    private static final double STOCHASTIC_FLOOR = 0.1;
    private static final Granularity TENSOR = new Granularity.PerTensor();
    private static final Granularity ROW = new Granularity.PerRow();
    private static final Granularity BLOCK = new Granularity.PerBlock(128, 128);
    private static final Granularity RUN = new Granularity.PerBlock(1, 128);

    static List<QuantizeKernel> all() {
        PlaneSpec block = int8(BLOCK, Rounding.NEAREST_EVEN);
        ScaleRule step = new ScaleRule.Given("step", ScaleRule.Application.SCALE, new ScaleRule.MeanMagnitude());
        QuantizeSpec int4 = spec(value(DType.INT4, TENSOR, step, Rounding.NEAREST_EVEN));
        ScaleRule sawb = new ScaleRule.Sawb(12.68f, 12.80f, 7, -7, 7);
        return List.of(
                nearest("int8 row", spec(int8(ROW, Rounding.NEAREST_EVEN))),
                stochastic("int8 row, stochastic", spec(int8(ROW, Rounding.STOCHASTIC))),
                nearest("int8 block 128x128", spec(block)),
                stochastic("int8 block 128x128, stochastic", spec(int8(BLOCK, Rounding.STOCHASTIC))),
                nearest("int8-fallback", spec(block, PlaneSpec.residual(block, new Threshold.Delayed("threshold")))),
                nearest("fp8 tensor", spec(fp8(DType.E4M3, TENSOR, Rounding.NEAREST_EVEN))),
                nearest("fp8 row", spec(fp8(DType.E4M3, ROW, Rounding.NEAREST_EVEN))),
                nearest("fp8 1x128", spec(fp8(DType.E4M3, RUN, Rounding.NEAREST_EVEN))),
                stochastic("fp8 tensor, stochastic", spec(fp8(DType.E5M2, TENSOR, Rounding.STOCHASTIC))),
                nearest("int4, Hadamard 32", int4.with(new Transform.BlockHadamard("log2"))),
                stochastic(
                        "int4 digits, both",
                        spec(PlaneSpec.digits(SplitMode.UNBIASED).toArray(PlaneSpec[]::new))),
                stochastic(
                        "luq",
                        spec(value(DType.E3M0, TENSOR, new ScaleRule.AmaxOverPower(6, false), Rounding.STOCHASTIC))),
                nearest("sawb int4", spec(value(DType.INT4, TENSOR, sawb, Rounding.NEAREST_EVEN))));
    }

    private static QuantizeKernel nearest(String name, QuantizeSpec spec) {
        return new QuantizeKernel(name, spec, NEAREST_FLOOR);
    }

    private static QuantizeKernel stochastic(String name, QuantizeSpec spec) {
        return new QuantizeKernel(name, spec, STOCHASTIC_FLOOR);
    }

    private static PlaneSpec value(DType format, Granularity granularity, ScaleRule rule, Rounding rounding) {
        return PlaneSpec.value(format, granularity, rule, rounding);
    }

    private static PlaneSpec int8(Granularity granularity, Rounding rounding) {
        return value(DType.INT8, granularity, new ScaleRule.AmaxOverTop(), rounding);
    }

    private static PlaneSpec fp8(DType format, Granularity granularity, Rounding rounding) {
        return value(format, granularity, new ScaleRule.TopOverAmax(false), rounding);
    }

    private static QuantizeSpec spec(PlaneSpec... planes) {
        return new QuantizeSpec(Role.INPUT, List.of(new OperandSpec(Contraction.COLUMNS, List.of(planes))));
    }
}
