package dev.nibble.backend.cpu;

import dev.nibble.host.HostRuntime;
import dev.nibble.reference.ReferenceOptimizer;
import dev.nibble.spi.AdamW;
import dev.nibble.spi.OptimizerOps;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.Tensor;
import java.util.List;

/** The update of the weights on all threads: the reference's own loops. */
final class CpuOptimizer implements OptimizerOps {
    private final ReferenceOptimizer loops;

    CpuOptimizer(HostRuntime runtime, Workers workers) {
        this.loops = new ReferenceOptimizer(runtime, workers::forEach);
    }

    @Override
    public void control(StepScope scope, List<Tensor> gradients, float maxNorm, Tensor control) {
        loops.control(scope, gradients, maxNorm, control);
    }

    @Override
    public void adamW(
            StepScope scope,
            AdamW spec,
            boolean decay,
            Tensor parameter,
            Tensor gradient,
            Tensor first,
            Tensor second,
            Tensor control) {
        loops.adamW(scope, spec, decay, parameter, gradient, first, second, control);
    }
}
