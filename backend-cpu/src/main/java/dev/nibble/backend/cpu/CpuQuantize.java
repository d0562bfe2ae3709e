package dev.nibble.backend.cpu;

import dev.nibble.host.HostQuantized;
import dev.nibble.host.HostRuntime;
import dev.nibble.host.HostTensor;
import dev.nibble.quant.Criterion;
import dev.nibble.quant.HadamardSearch;
import dev.nibble.quant.Overflow;
import dev.nibble.quant.PlaneSource;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.Statistic;
import dev.nibble.quant.StraightThrough;
import dev.nibble.quant.Transform;
import dev.nibble.reference.ReferenceQuantize;
import dev.nibble.spi.DeviceState;
import dev.nibble.spi.Operand;
import dev.nibble.spi.QuantizeOps;
import dev.nibble.spi.Quantized;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepScope;
import dev.nibble.state.StateInput;
import dev.nibble.state.StateProgram;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Tensor;
import java.util.Map;

/** Quantization with the Vector API, bit-equal to {@link ReferenceQuantize} for any number of threads. */
final class CpuQuantize implements QuantizeOps {
    private final HostRuntime runtime;
    private final Workers workers;
    private final ReferenceQuantize reference;

    CpuQuantize(HostRuntime runtime, Workers workers) {
        this.runtime = runtime;
        this.workers = workers;
        this.reference = new ReferenceQuantize(runtime);
    }

    @Override
    public Quantized quantize(StepScope scope, QuantizeSpec spec, Site site, Tensor x, DeviceState state) {
        ReferenceQuantize.requireSupported(spec);
        ReferenceQuantize.requireNotEmpty(site, x);
        if (isPlain(spec)) {
            return reference.quantize(scope, spec, site, x, state);
        }
        var rounding = new BlockRounding(scope, workers, spec, site, runtime.seed());
        HostQuantized quantized =
                new MatrixQuantizer(scope, workers, spec, site, HostTensor.of(x), state, rounding).quantize();
        if (!Float.isFinite(HostTensor.floats(quantized.statistics())[Statistic.AMAX.ordinal()])) {
            runtime.noteNonFinite(site, spec.role());
        }
        return quantized;
    }

    /** What has no vector code. */
    private static boolean isPlain(QuantizeSpec spec) {
        return !(spec.transform() instanceof Transform.Identity)
                || spec.operands().stream().flatMap(o -> o.planes().stream()).anyMatch(CpuQuantize::isPlain);
    }

    private static boolean isPlain(PlaneSpec plane) {
        boolean knownSource = plane.source() instanceof PlaneSource.Value
                || (plane.source() instanceof PlaneSource.Residual residual
                        && residual.criterion() == Criterion.ABSMAX);
        boolean knownFormat = plane.format().family() != DType.Family.INTEGER || plane.format() == DType.INT8;
        boolean knownRounding = plane.rounding() == Rounding.NEAREST_EVEN || plane.format() == DType.INT8;
        return !knownSource
                || !knownFormat
                || !knownRounding
                || plane.overflow() != Overflow.SATURATE
                || plane.scaleRule().needsWholeTensor();
    }

    @Override
    public void search(StepScope scope, HadamardSearch search, Tensor x, Tensor w, DeviceState state) {
        reference.search(scope, search, x, w, state);
    }

    @Override
    public void straightThrough(StepScope scope, StraightThrough clip, Tensor gradient, Tensor x, DeviceState state) {
        reference.straightThrough(scope, clip, gradient, x, state);
    }

    @Override
    public Tensor dequantize(StepScope scope, Operand operand) {
        return reference.dequantize(scope, operand);
    }

    @Override
    public void run(StepScope scope, StateProgram program, DeviceState state, Map<StateInput, Tensor> inputs) {
        reference.run(scope, program, state, inputs);
    }
}
