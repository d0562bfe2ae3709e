package dev.nibble.backend.cpu;

import dev.nibble.host.HostQuantized;
import dev.nibble.host.HostRuntime;
import dev.nibble.host.HostTensor;
import dev.nibble.quant.HadamardSearch;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Statistic;
import dev.nibble.quant.StraightThrough;
import dev.nibble.quant.Transform;
import dev.nibble.reference.OperandChecks;
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
import dev.nibble.tensor.Role;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.Map;
import java.util.Optional;

/** Quantization with the Vector API or the native library, bit-equal to {@link ReferenceQuantize} for any number of threads. */
final class CpuQuantize implements QuantizeOps {
    private final HostRuntime runtime;
    private final Workers workers;
    private final Optional<NativeKernels> kernels;
    private final ReferenceQuantize reference;
    private final LearnedStep learnedStep;

    /**
     * Prepares the operations.
     *
     * @param kernels the native library, if it is used
     */
    CpuQuantize(HostRuntime runtime, Workers workers, Optional<NativeKernels> kernels) {
        this.runtime = runtime;
        this.workers = workers;
        this.kernels = kernels.filter(NativeKernels::quantizes);
        this.reference = new ReferenceQuantize(runtime);
        this.learnedStep = new LearnedStep(runtime.memory(), workers);
    }

    @Override
    public Quantized quantize(StepScope scope, QuantizeSpec spec, Site site, Tensor x, DeviceState state) {
        ReferenceQuantize.requireSupported(spec);
        ReferenceQuantize.requireNotEmpty(site, x);
        var call = new QuantizeCall(scope, runtime.memory(), workers, kernels, spec, site, state, runtime.seed());
        try (MatrixSource source = MatrixSource.of(runtime.memory(), workers, spec, HostTensor.of(x), state)) {
            HostQuantized quantized = new MatrixQuantizer(call, source).quantize();
            if (!Float.isFinite(HostTensor.floats(quantized.statistics())[Statistic.AMAX.ordinal()])) {
                runtime.noteNonFinite(site, spec.role());
            }
            return quantized;
        }
    }

    @Override
    public Tensor transform(StepScope scope, Transform transform, Site site, Tensor x, DeviceState state) {
        ReferenceQuantize.requireNotEmpty(site, x);
        int rows = OperandChecks.rows(x);
        int cols = OperandChecks.cols(x);
        MatrixTransform known = MatrixTransform.of(transform, state, cols);
        Tensor out = scope.allocate("transformed", DType.FP32, Shape.of(rows, cols));
        float[] y = HostTensor.floats(out); // [rows, cols]
        known.apply(workers, HostTensor.floats(x), rows, cols, y);
        workers.forEachRun(rows, cols, (from, to) -> {
            for (int i = from * cols; i < to * cols; i++) {
                y[i] += 0f; // a sum of planes begins with +0, so none gives -0
            }
        });
        if (!Float.isFinite(BlockAmax.ofMatrix(workers, y, rows, cols))) {
            runtime.noteNonFinite(site, Role.OTHER);
        }
        return out;
    }

    @Override
    public void search(StepScope scope, HadamardSearch search, Tensor x, Tensor w, DeviceState state) {
        if (search.top() > WholeLanes.LARGEST) {
            reference.search(scope, search, x, w, state);
        } else {
            learnedStep.search(search, x, w, state);
        }
    }

    @Override
    public void straightThrough(StepScope scope, StraightThrough clip, Tensor gradient, Tensor x, DeviceState state) {
        if (clip.top() > WholeLanes.LARGEST) {
            reference.straightThrough(scope, clip, gradient, x, state);
        } else {
            learnedStep.straightThrough(clip, gradient, x, state);
        }
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
