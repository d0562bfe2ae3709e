package dev.nibble.spi;

import dev.nibble.gemm.GemmSpec;
import dev.nibble.tensor.Tensor;

/** Matrix products on a device. */
@FunctionalInterface
public interface GemmBackend {
    /**
     * Computes {@code D[M,N] = A[M,K] · B[N,K]ᵀ} as the spec orders its sum, and notes in the execution log what ran.
     *
     * @param scope the open step
     * @param spec terms and epilogue
     * @param site who asks
     * @param a left operand
     * @param b right operand
     * @param d FP32, [M, N]; overwritten or added to
     * @throws IllegalArgumentException if shapes do not fit
     */
    void multiply(StepScope scope, GemmSpec spec, Site site, Operand a, Operand b, Tensor d);
}
