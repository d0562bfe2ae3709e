package dev.nibble.backend.cuda;

import dev.nibble.reference.ReferenceGradientNorm;
import dev.nibble.spi.AdamW;
import dev.nibble.spi.Lion;
import dev.nibble.spi.Sgd;
import dev.nibble.tensor.Tensor;
import java.util.List;

/** Updates by the rules of optimizer_rules.cu, to the bits of {@link dev.nibble.reference.ReferenceOptimizer}. */
final class CudaUpdateRules {
    private static final String FILE = "optimizer_rules";
    private static final int BLOCK = 256;
    private static final long MOST_BLOCKS = 1 << 12; // more than a device runs at a time

    private final CudaRuntime runtime;

    CudaUpdateRules(CudaRuntime runtime) {
        this.runtime = runtime;
    }

    void sgd(Sgd rule, boolean decay, Tensor parameter, Tensor gradient, List<Tensor> state, Tensor control) {
        Args args = runtime.args()
                .floats(parameter)
                .floats(gradient)
                .pointer(state.isEmpty() ? 0 : CudaTensor.floats(state.getFirst()))
                .i64(parameter.shape().elements())
                .floats(control)
                .pointer(runtime.stepInfo().address())
                .f32(rule.momentum())
                .i32(rule.nesterov() ? 1 : 0)
                .f32(decay ? rule.weightDecay() : 0f)
                .about(parameter);
        launch("sgd", elementBlocks(parameter), args);
    }

    void lion(Lion rule, boolean decay, Tensor parameter, Tensor gradient, Tensor first, Tensor control) {
        Args args = runtime.args()
                .floats(parameter)
                .floats(gradient)
                .floats(first)
                .i64(parameter.shape().elements())
                .floats(control)
                .pointer(runtime.stepInfo().address())
                .f32(rule.beta1())
                .f32(rule.beta2())
                .f32(decay ? rule.weightDecay() : 0f)
                .about(parameter);
        launch("lion", elementBlocks(parameter), args);
    }

    /** Moments and squares, the rate of the tensor, the update. */
    void stableAdamW(
            AdamW rule,
            CudaTensor corrections,
            boolean decay,
            Tensor parameter,
            Tensor gradient,
            List<Tensor> state,
            Tensor control) {
        long elements = parameter.shape().elements();
        long chunks = Math.ceilDiv(elements, (long) ReferenceGradientNorm.CHUNK);
        try (CudaTensor partials = runtime.memory().scratch("sums of squared ratios", chunks * Double.BYTES);
                CudaTensor rate = runtime.memory().scratch("rate of a tensor", Float.BYTES)) {
            Args args = runtime.args()
                    .floats(gradient)
                    .pointer(CudaTensor.floats(state.get(0)))
                    .pointer(CudaTensor.floats(state.get(1)))
                    .pointer(partials.address())
                    .i64(elements)
                    .floats(control);
            launch("stable_moments", Math.clamp(chunks, 1, MOST_BLOCKS), hyper(args, rule, corrections, parameter));
            args = runtime.args()
                    .pointer(partials.address())
                    .i64(chunks)
                    .i64(elements)
                    .floats(control)
                    .pointer(runtime.stepInfo().address())
                    .pointer(rate.address())
                    .about(parameter);
            launch("stable_rate", 1, args);
            args = runtime.args()
                    .floats(parameter)
                    .pointer(CudaTensor.floats(state.get(0)))
                    .pointer(CudaTensor.floats(state.get(1)))
                    .pointer(rate.address())
                    .i64(elements)
                    .floats(control);
            hyper(args, rule, corrections, parameter).f32(decay ? rule.weightDecay() : 0f);
            launch("stable_apply", elementBlocks(parameter), args);
        }
    }

    private static Args hyper(Args args, AdamW rule, CudaTensor corrections, Tensor parameter) {
        return args.pointer(corrections.address())
                .i64(corrections.rows())
                .f32(rule.beta1())
                .f32(rule.beta2())
                .f32(rule.epsilon())
                .about(parameter);
    }

    private static long elementBlocks(Tensor parameter) {
        return Math.clamp(Math.ceilDiv(parameter.shape().elements(), (long) BLOCK), 1, MOST_BLOCKS);
    }

    private void launch(String kernel, long blocks, Args args) {
        runtime.kernels().get(FILE, kernel).launch(blocks, 1, 1, BLOCK, 0, args);
    }
}
