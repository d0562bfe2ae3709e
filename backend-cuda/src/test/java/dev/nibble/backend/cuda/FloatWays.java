package dev.nibble.backend.cuda;

import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.report.ExecutionRow;
import java.util.ArrayList;
import java.util.List;

/** The ways in which warps multiply floats, and how far each may be from the plain code: docs/numerics.md, section 6. */
final class FloatWays implements AutoCloseable {
    private static final double U = 0x1p-24;
    private static final String ADA = "compute_89"; // whose warps multiply 8-bit floats; compiled by the driver

    // A tensor core aligns products, which are exact, and the sum so far to the largest of them and cuts them to 24
    // bits at least; so it does with the result. Whatever it takes at a time, 4, 8 or 16 products: of each 4 it cuts
    // at most 6 numbers, each by less than 2^-23 of at most Σ|ab|.
    private static final double CUT_OF_EACH = 6.0 / 4 * 0x1p-23;

    // Those that multiply 8-bit floats keep 13 bits behind the largest (arXiv:2411.10958 of 8.9 and 9.0; NVIDIA
    // documents none of this): 32 products and the sum so far lose less than 2^-13 of at most Σ|ab| each, four times
    // in a chain of 128.
    private static final double FP8_CHAIN = 4 * 33 * 0x1p-13;

    private final List<ProductDuel> opened = new ArrayList<>();
    private final ProductDuel duel;

    FloatWays() {
        duel = open(CudaSettings.ofProperties());
    }

    /**
     * One way.
     *
     * @param kernel how the names of its kernels end
     * @param chain share of Σ|a·b| that tensor cores lose in a chain
     */
    record Way(ProductDuel duel, CudaGemm gemm, String kernel, double chain) {
        ExecutionRow lastRow() {
            return duel.cuda().log().rows().getLast();
        }

        void assertRan() {
            assertTrue(lastRow().kernel().endsWith(kernel), lastRow().toString());
        }

        /** {@return the share of Σ|a·b| that products of 8-bit floats may be apart from the plain code's} */
        double bound(int segments, int parts) {
            int roundings = 128 + 1 + segments + parts + 1; // chain, product of scales, folds, sum of parts, epilogue
            return 2 * roundings * U * 1.01 + chain;
        }
    }

    private ProductDuel open(CudaSettings settings) {
        ProductDuel next = new ProductDuel(Gpu.open(settings));
        opened.add(next);
        return next;
    }

    /** {@return products that use nothing that some device lacks} */
    static CudaGemm portable(ProductDuel duel, int blocks) {
        CudaRuntime runtime = duel.cuda().runtime();
        return new CudaGemm(runtime, blocks, runtime.device().largestShared(), TensorCores.PORTABLE);
    }

    private CudaGemm portable() {
        return portable(duel, duel.cuda().runtime().device().processors());
    }

    /** {@return halves} */
    Way halves(int k) {
        return new Way(duel, portable(), "-mma", k * CUT_OF_EACH);
    }

    /** {@return 8-bit floats that are decoded, the right operand in E4M3} */
    Way decoding() {
        return new Way(duel, portable(), "e4m3-bf16-mma", 128 * CUT_OF_EACH);
    }

    /** {@return 8-bit floats decoded and as such, the right operand in E4M3} */
    List<Way> ofEightBits() {
        CudaSettings ways = CudaSettings.ofProperties();
        ProductDuel ada = open(
                new CudaSettings(ways.arena(), ways.poison(), ways.canaries(), ways.synchronous(), ways.graphs(), ADA));
        return List.of(decoding(), new Way(ada, new CudaGemm(ada.cuda().runtime()), "e4m3-mma", FP8_CHAIN));
    }

    /** {@return how many elements have other bits, all being within a share of Σ|a·b|; -1 if one is not} */
    static int different(ProductDuel.Outcome outcome, float[] magnitudes, double relative) {
        int different = 0;
        for (int i = 0; i < magnitudes.length; i++) {
            double limit = relative * magnitudes[i] * (1 + relative);
            if (!(Math.abs((double) outcome.actual()[i] - outcome.expected()[i]) <= limit)) {
                return -1;
            }
            different += outcome.actual()[i] == outcome.expected()[i] ? 0 : 1;
        }
        return different;
    }

    @Override
    public void close() {
        opened.forEach(ProductDuel::close);
    }
}
