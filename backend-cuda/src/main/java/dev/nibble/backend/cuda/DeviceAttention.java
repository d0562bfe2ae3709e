package dev.nibble.backend.cuda;

import dev.nibble.spi.AttentionShape;
import dev.nibble.spi.NeuralOps.Saved;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Tensor;

/** Attention in some arithmetic. */
sealed interface DeviceAttention permits CudaAttention, CudaAttentionBf16 {
    /** {@return attention whose products have operands in FP32, to the bits of the plain code, or in BF16} */
    static DeviceAttention of(CudaRuntime runtime, DType operands) {
        CudaAttention exact = new CudaAttention(runtime);
        return operands == DType.FP32 ? exact : new CudaAttentionBf16(runtime, exact);
    }

    /** See {@link dev.nibble.spi.NeuralOps#attention}. */
    Saved forward(StepScope scope, Tensor qkv, AttentionShape shape);

    /** See {@link dev.nibble.spi.NeuralOps#attentionBackward}. */
    Tensor backward(StepScope scope, Tensor gradOutput, Tensor qkv, Saved forward, AttentionShape shape);
}
