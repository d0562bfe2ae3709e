package dev.nibble.backend.cpu;

import dev.nibble.host.HostQuantized;
import dev.nibble.host.HostRuntime;
import dev.nibble.host.HostTensor;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Statistic;
import dev.nibble.reference.ReferenceQuantize;
import dev.nibble.spi.DeviceState;
import dev.nibble.spi.Operand;
import dev.nibble.spi.QuantizeOps;
import dev.nibble.spi.Quantized;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepScope;
import dev.nibble.state.StateInput;
import dev.nibble.state.StateProgram;
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
        var rounding = new BlockRounding(scope, workers, spec, site, runtime.seed());
        HostQuantized quantized =
                new MatrixQuantizer(scope, workers, spec, site, HostTensor.of(x), state, rounding).quantize();
        if (!Float.isFinite(HostTensor.floats(quantized.statistics())[Statistic.AMAX.ordinal()])) {
            runtime.noteNonFinite(site, spec.role());
        }
        return quantized;
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
