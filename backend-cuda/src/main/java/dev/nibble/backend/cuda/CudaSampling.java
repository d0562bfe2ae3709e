package dev.nibble.backend.cuda;

import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Product;
import dev.nibble.gemm.Sampling;
import dev.nibble.gemm.Term;
import dev.nibble.quant.Granularity;
import dev.nibble.random.Purpose;
import dev.nibble.reference.LeverageSampling;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Shape;
import java.util.ArrayList;
import java.util.List;

/**
 * Draws the rows of dY that enter a product, on the device, bit-equal to {@code LeverageSampling}: sampling.cu. Nothing is read back:
 * lists and their lengths stay where the product reads them.
 */
final class CudaSampling {
    private static final String FILE = "sampling";
    private static final int MOST_TERMS = 16; // as in sampling.cu
    private static final int SOLVE_BLOCK = 1024;
    private static final int LIST_BLOCK = 1024;
    private static final int WARPS = QuantizeKernels.BLOCK / 32;
    private static final int STRIP_ROWS = 128; // of squares_of_columns
    private static final int WORD_BYTES = 4;
    private static final int GRID_BITS = 24; // probabilities of rows are multiples of 2^-24
    private static final int EXPONENTS = LeverageSampling.LARGEST_EXPONENT + 1;

    private final CudaRuntime runtime;
    private final QuantizeKernels kernels;
    private final Struct struct = new Struct();

    CudaSampling(CudaRuntime runtime) {
        this(runtime, Integer.MAX_VALUE);
    }

    /**
     * Makes the draws of one backend.
     *
     * @param runtime what it shares
     * @param mostBlocks the largest grid; changes no result
     */
    CudaSampling(CudaRuntime runtime, long mostBlocks) {
        this.runtime = runtime;
        this.kernels = new QuantizeKernels(runtime, mostBlocks);
    }

    /**
     * {@return what of dY enters the gradient of the input}
     *
     * @param a dY, contracting its columns
     * @param b W
     * @throws IllegalArgumentException if a plane has several scales or is no integer
     */
    RowDraw rows(StepScope scope, GemmSpec spec, Site site, CudaOperand a, CudaOperand b) {
        requireSupported(spec, a, b);
        long tokens = a.rows();
        int terms = spec.terms().size();
        CudaScope open = CudaScope.of(scope);
        CudaTensor weights = open.allocate("row weights", DType.FP32, Shape.of(terms, tokens));
        CudaTensor union = ints(open, "rows", tokens + 1);
        CudaTensor rows = ints(open, "rows of each term", terms * tokens + terms);
        long counts = rows.address() + terms * tokens * Integer.BYTES;
        long unionCount = union.address() + tokens * Integer.BYTES;
        try (Squares squares = squaresOfRows(a);
                CudaTensor scores = runtime.memory().scratch("scores", (terms * tokens + 1) * Float.BYTES)) {
            Struct drawn = terms(spec, a, b, squares, Squares.NONE);
            long lambda = solve(drawn, scores, terms, tokens, tokens << GRID_BITS, false);
            Args args = runtime.args()
                    .struct(drawn.segment())
                    .i64(tokens)
                    .pointer(scores.address())
                    .pointer(lambda)
                    .pointer(runtime.stepInfo().address())
                    .i32(address(site, Purpose.SAMPLE_GRAD_INPUT))
                    .pointer(weights.address());
            kernels.launch(FILE, "sampling_weights", terms * tokens, QuantizeKernels.BLOCK, args);
            args = runtime.args()
                    .pointer(weights.address())
                    .i64(tokens)
                    .i32(terms)
                    .pointer(rows.address())
                    .pointer(counts)
                    .pointer(union.address())
                    .pointer(unionCount);
            runtime.kernels().get(FILE, "sampling_list_rows").launch(terms + 1L, 1, 1, LIST_BLOCK, 0, args);
        }
        return new RowDraw(tokens, weights.address(), new RowList(union.address(), unionCount), rows.address(), counts);
    }

    /**
     * {@return what of dY and X enters the gradient of the weight}
     *
     * @param a dY, contracting its rows
     * @param b X, contracting its rows
     * @throws IllegalArgumentException if a plane has several scales or is no integer
     */
    TokenDraw tokens(StepScope scope, GemmSpec spec, Site site, CudaOperand a, CudaOperand b) {
        requireSupported(spec, a, b);
        long tokens = a.k();
        int terms = spec.terms().size();
        int segments = EXPONENTS * terms;
        CudaScope open = CudaScope.of(scope);
        CudaTensor list = ints(open, "tokens", terms * tokens);
        CudaTensor bounds = ints(open, "segments", segments + 1L);
        long n = terms * tokens;
        try (Squares squaresA = squaresOfTokens(a);
                Squares squaresB = squaresOfTokens(b);
                CudaTensor scores = runtime.memory().scratch("scores", (n + 1) * Float.BYTES);
                CudaTensor exponents = runtime.memory().scratch("exponents", n);
                CudaTensor counts = runtime.memory().scratch("counts", (long) segments * Integer.BYTES)) {
            runtime.stream().fill(counts.address(), (byte) 0, (long) segments * Integer.BYTES);
            Struct drawn = terms(spec, a, b, squaresA, squaresB);
            long lambda = solve(drawn, scores, terms, tokens, tokens << LeverageSampling.LARGEST_EXPONENT, true);
            Args args = runtime.args()
                    .struct(drawn.segment())
                    .i64(tokens)
                    .pointer(scores.address())
                    .pointer(lambda)
                    .pointer(runtime.stepInfo().address())
                    .i32(address(site, Purpose.SAMPLE_GRAD_WEIGHT))
                    .pointer(exponents.address())
                    .pointer(counts.address());
            kernels.launch(FILE, "sampling_exponents", n, QuantizeKernels.BLOCK, args);
            args = runtime.args()
                    .pointer(exponents.address())
                    .i64(tokens)
                    .i32(terms)
                    .pointer(counts.address())
                    .pointer(list.address())
                    .pointer(bounds.address());
            runtime.kernels().get(FILE, "sampling_list_tokens").launch(segments, 1, 1, LIST_BLOCK, 0, args);
        }
        return new TokenDraw(list.address(), bounds.address());
    }

    private static void requireSupported(GemmSpec spec, CudaOperand a, CudaOperand b) {
        if (spec.sampling() != Sampling.LEVERAGE) {
            throw new IllegalStateException(spec.product().label() + " has sampling " + spec.sampling());
        }
        for (Term term : spec.terms()) {
            for (CudaPlane plane :
                    List.of(a.planes().get(term.planeA()), b.planes().get(term.planeB()))) {
                boolean integer = plane.dtype().family() == DType.Family.INTEGER;
                if (!integer || !(plane.spec().granularity() instanceof Granularity.PerTensor)) {
                    throw new IllegalArgumentException(
                            "%s samples rows of %s codes with %s, but needs integer codes with one scale"
                                    .formatted(
                                            spec.product().label(),
                                            plane.dtype().label(),
                                            plane.spec().granularity()));
                }
            }
        }
        if (spec.terms().size() > MOST_TERMS) {
            throw new IllegalArgumentException("%s samples rows of %d terms, but at most %d are possible on the device"
                    .formatted(spec.product().label(), spec.terms().size(), MOST_TERMS));
        }
    }

    private static CudaTensor ints(CudaScope scope, String label, long count) {
        return scope.allocate(label, DType.INT32, Shape.of(count));
    }

    private static int address(Site site, int purpose) {
        return PlaneStructs.drawAddress(site, Product.GRAD_INPUT.roleA(), purpose, 0);
    }

    /** Σ code² of each plane, at each token: 64-bit integers. */
    private record Squares(List<CudaTensor> planes) implements AutoCloseable {
        static final Squares NONE = new Squares(List.of());

        long address(int plane) {
            return plane < planes.size() ? planes.get(plane).address() : 0;
        }

        @Override
        public void close() {
            planes.forEach(CudaTensor::close);
        }
    }

    private Squares squaresOfRows(CudaOperand operand) {
        List<CudaTensor> squares = new ArrayList<>();
        for (CudaPlane plane : operand.planes()) {
            CudaTensor of = runtime.memory().scratch("row norms", operand.rows() * Long.BYTES);
            squares.add(of);
            Args args = runtime.args()
                    .pointer(plane.address())
                    .i64(plane.pitchBytes())
                    .i32(plane.dtype().ordinal())
                    .i64(operand.rows())
                    .pointer(of.address())
                    .about(plane.codes());
            kernels.launch(FILE, "squares_of_rows", operand.rows(), WARPS, args);
        }
        return new Squares(squares);
    }

    private Squares squaresOfTokens(CudaOperand operand) {
        List<CudaTensor> squares = new ArrayList<>();
        for (CudaPlane plane : operand.planes()) {
            CudaTensor of = runtime.memory().scratch("token norms", operand.k() * Long.BYTES);
            squares.add(of);
            runtime.stream().fill(of.address(), (byte) 0, operand.k() * Long.BYTES);
            Args args = runtime.args()
                    .pointer(plane.address())
                    .i64(plane.pitchBytes())
                    .i32(plane.dtype().ordinal())
                    .i64(operand.rows())
                    .i64(operand.k())
                    .pointer(of.address())
                    .about(plane.codes());
            long words = Math.ceilDiv(operand.k() * plane.dtype().bits(), Byte.SIZE * WORD_BYTES);
            long items = words * Math.ceilDiv(operand.rows(), STRIP_ROWS);
            kernels.launch(FILE, "squares_of_columns", items, QuantizeKernels.BLOCK, args);
        }
        return new Squares(squares);
    }

    /** Writes the {@code Terms} of sampling.cu. */
    private Struct terms(GemmSpec spec, CudaOperand a, CudaOperand b, Squares squaresA, Squares squaresB) {
        List<Term> terms = spec.terms();
        Struct out = struct.clear();
        for (int i = 0; i < MOST_TERMS; i++) {
            out.pointer(i < terms.size() ? a.planes().get(terms.get(i).planeA()).scalesAddress() : 0);
        }
        for (int i = 0; i < MOST_TERMS; i++) {
            out.pointer(i < terms.size() ? b.planes().get(terms.get(i).planeB()).scalesAddress() : 0);
        }
        for (int i = 0; i < MOST_TERMS; i++) {
            out.pointer(i < terms.size() ? squaresA.address(terms.get(i).planeA()) : 0);
        }
        for (int i = 0; i < MOST_TERMS; i++) {
            out.pointer(i < terms.size() ? squaresB.address(terms.get(i).planeB()) : 0);
        }
        for (int i = 0; i < MOST_TERMS; i++) {
            out.f32(i < terms.size() ? terms.get(i).weightA() : 0);
        }
        for (int i = 0; i < MOST_TERMS; i++) {
            out.i32(i < terms.size() ? terms.get(i).planeA() : 0);
        }
        return out.i32(terms.size()).flag(!squaresB.planes().isEmpty());
    }

    /** {@return where λ lies, behind the scores} */
    private long solve(Struct drawn, CudaTensor scores, int terms, long tokens, long limit, boolean weightGradient) {
        long n = terms * tokens;
        long lambda = scores.address() + n * Float.BYTES;
        Args args = runtime.args().struct(drawn.segment()).i64(tokens).pointer(scores.address());
        kernels.launch(FILE, "sampling_scores", n, QuantizeKernels.BLOCK, args);
        args = runtime.args()
                .pointer(scores.address())
                .i64(n)
                .i64(limit)
                .i32(weightGradient ? 1 : 0)
                .pointer(lambda);
        runtime.kernels().get(FILE, "sampling_solve").launch(1, 1, 1, SOLVE_BLOCK, 0, args);
        return lambda;
    }
}
