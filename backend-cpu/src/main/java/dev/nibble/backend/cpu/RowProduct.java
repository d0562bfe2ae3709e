package dev.nibble.backend.cpu;

import dev.nibble.gemm.Epilogue;
import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Term;
import dev.nibble.host.HostOperand;
import dev.nibble.host.HostPlane;
import dev.nibble.host.HostTensor;
import dev.nibble.tensor.DType;

/**
 * Products of one row with an FP32 matrix, as when a text grows by a token: B is read once, as it lies, where the other paths would pack
 * it for the many rows of a panel. Each element is its own chain, as the plain code has it; eight of them run side by side, so that none
 * waits for the addition before.
 */
final class RowProduct {
    static final String KERNEL = "cpu-row-fp32";

    private static final int CHAINS = 8;

    private RowProduct() {}

    /** {@return whether a product is one of these} */
    static boolean takes(GemmSpec spec, SumOrder order, HostOperand a, HostOperand b) {
        Term term = spec.terms().getFirst();
        return a.rows() == 1
                && spec.terms().size() == 1
                && spec.epilogue() == Epilogue.STORE
                && order.segments().size() == 1
                && isPlain(a.planes().get(term.planeA()))
                && isPlain(b.planes().get(term.planeB()));
    }

    private static boolean isPlain(HostPlane plane) {
        return plane.codes().dtype() == DType.FP32 && !plane.transposed() && !plane.scaled() && !plane.masked();
    }

    /** Computes D = A · Bᵀ. */
    static void multiply(Workers workers, GemmSpec spec, HostOperand a, HostOperand b, float[] d) {
        Term term = spec.terms().getFirst();
        float[] left = HostTensor.floats(a.planes().get(term.planeA()).codes()); // [K]
        float[] right = HostTensor.floats(b.planes().get(term.planeB()).codes()); // [N, K]
        int n = Math.toIntExact(b.rows());
        int k = Math.toIntExact(a.k());
        workers.forEachRun(n, k, (from, to) -> {
            int whole = from + (to - from) / CHAINS * CHAINS;
            for (int col = from; col < whole; col += CHAINS) {
                eight(left, right, col * k, k, d, col);
            }
            for (int col = whole; col < to; col++) {
                float sum = 0;
                for (int i = 0; i < k; i++) {
                    sum = Math.fma(left[i], right[col * k + i], sum);
                }
                d[col] = sum;
            }
        });
    }

    private static void eight(float[] a, float[] b, int b0, int k, float[] d, int to) {
        int b1 = b0 + k;
        int b2 = b1 + k;
        int b3 = b2 + k;
        int b4 = b3 + k;
        int b5 = b4 + k;
        int b6 = b5 + k;
        int b7 = b6 + k;
        float s0 = 0;
        float s1 = 0;
        float s2 = 0;
        float s3 = 0;
        float s4 = 0;
        float s5 = 0;
        float s6 = 0;
        float s7 = 0;
        for (int i = 0; i < k; i++) {
            float x = a[i];
            s0 = Math.fma(x, b[b0 + i], s0);
            s1 = Math.fma(x, b[b1 + i], s1);
            s2 = Math.fma(x, b[b2 + i], s2);
            s3 = Math.fma(x, b[b3 + i], s3);
            s4 = Math.fma(x, b[b4 + i], s4);
            s5 = Math.fma(x, b[b5 + i], s5);
            s6 = Math.fma(x, b[b6 + i], s6);
            s7 = Math.fma(x, b[b7 + i], s7);
        }
        d[to] = s0;
        d[to + 1] = s1;
        d[to + 2] = s2;
        d[to + 3] = s3;
        d[to + 4] = s4;
        d[to + 5] = s5;
        d[to + 6] = s6;
        d[to + 7] = s7;
    }
}
