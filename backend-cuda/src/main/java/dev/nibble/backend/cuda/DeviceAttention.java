package dev.nibble.backend.cuda;

import dev.nibble.spi.AttentionShape;
import dev.nibble.spi.NeuralOps.Saved;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.Tensor;

/** Attention in some arithmetic. */
sealed interface DeviceAttention permits CudaAttention, CudaAttentionBf16 {
    /** The arithmetic of the products. */
    enum Arithmetic {
        /** Everything FP32, to the bits of the plain code. */
        FP32,
        /** Operands of the products are rounded to BF16. */
        BF16
    }

    /** {@return attention in this arithmetic} */
    static DeviceAttention of(CudaRuntime runtime, Arithmetic arithmetic) {
        CudaAttention exact = new CudaAttention(runtime);
        return arithmetic == Arithmetic.FP32 ? exact : new CudaAttentionBf16(runtime, exact);
    }

    /** See {@link dev.nibble.spi.NeuralOps#attention}. */
    Saved forward(StepScope scope, Tensor qkv, AttentionShape shape);

    /** See {@link dev.nibble.spi.NeuralOps#attentionBackward}. */
    Tensor backward(StepScope scope, Tensor gradOutput, Tensor qkv, Saved forward, AttentionShape shape);
}
