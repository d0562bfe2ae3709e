package dev.nibble.backend.cuda;

import dev.nibble.gemm.Segments;
import dev.nibble.gemm.Splits;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Stream;

/**
 * The tokens that a draw keeps, gathered from both operands of a weight gradient: stretch after stretch, each from a multiple of
 * 128 on, so that a kernel multiplies them as it does whole operands.
 */
final class GatheredTokens implements AutoCloseable {
    private static final String FILE = "gemm_codes";
    private static final int EXPONENTS = 16; // weights 2^0 to 2^15
    private static final int STRETCH_BYTES = 16; // of a struct Stretch
    private static final int THREADS = 256;
    private static final long BLOCKS_PER_PROCESSOR = 8;

    private final CudaRuntime runtime;
    private final ProductArguments arguments;
    private final ProductPlan plan;
    private final TokenDraw tokens;
    private final List<CudaTensor> scratch = new ArrayList<>();
    private final int segments;
    private final int cuts;
    private final long pitch;

    GatheredTokens(CudaRuntime runtime, ProductArguments arguments, ProductPlan plan, TokenDraw tokens) {
        this.runtime = runtime;
        this.arguments = arguments;
        this.plan = plan;
        this.tokens = tokens;
        int terms = plan.terms().size();
        this.segments = EXPONENTS * terms;
        this.cuts = Math.toIntExact(Math.ceilDiv(plan.k(), Segments.INTEGER_LIMIT));
        // Each stretch may be padded by nearly 128.
        this.pitch = CudaMemory.padded(terms * plan.k()) + CudaMemory.TILE * segments * cuts;
    }

    /** {@return bytes from row to row of what is gathered: places for tokens} */
    long pitch() {
        return pitch;
    }

    /** {@return the matrices that were gathered} Their product is left in the arguments. */
    PlaneTerm gather() {
        int count = segments * cuts;
        CudaTensor stretches = scratch("stretches", (long) count * STRETCH_BYTES);
        CudaTensor starts = scratch("starts of stretches", (long) count * Integer.BYTES);
        Args args = runtime.args()
                .pointer(tokens.bounds())
                .pointer(stretches.address())
                .pointer(starts.address())
                .i32(segments)
                .i32(plan.terms().size())
                .i32(cuts)
                .i32(Segments.INTEGER_LIMIT);
        runtime.kernels().get(FILE, "gemm_plan_stretches").launch(1, 1, 1, 1, 0, args);
        CudaTensor places = scratch("tokens of places", pitch * Integer.BYTES);
        CudaTensor numbers = scratch("terms of places", pitch);
        args = runtime.args()
                .pointer(stretches.address())
                .pointer(starts.address())
                .pointer(tokens.list())
                .pointer(tokens.bounds() + (long) segments * Integer.BYTES)
                .pointer(places.address())
                .pointer(numbers.address());
        runtime.kernels().get(FILE, "gemm_place_tokens").launch(count, 1, 1, THREADS, 0, args);
        arguments
                .shape(plan)
                .splits(new Splits(1, plan.k()))
                .terms(plan.terms())
                .stretches(stretches.address(), count);
        List<Long> left =
                gather(places, numbers, false, digits(plan.terms().stream().map(PlaneTerm::a)), plan.m());
        List<Long> right =
                gather(places, numbers, true, digits(plan.terms().stream().map(PlaneTerm::b)), plan.n());
        List<BytePass> passes = new ArrayList<>();
        List<PlaneTerm> terms = new ArrayList<>();
        for (int t = 0; t < plan.terms().size(); t++) {
            PlaneTerm term = plan.terms().get(t);
            passes.addAll(BytePass.ofTerm(left, right, t));
            terms.add(new PlaneTerm(
                    term.a().bytes(left.getFirst(), pitch), term.b().bytes(right.getFirst(), pitch)));
        }
        arguments.terms(terms).passes(passes);
        return terms.getFirst();
    }

    /** {@return the digits of the plane that has most} */
    private static List<Integer> digits(Stream<PlaneTerm.Side> sides) {
        return sides.map(side -> PlaneBytes.digits(side.format()))
                .max(Comparator.comparingInt(List::size))
                .orElseThrow();
    }

    /** {@return addresses of the digits of what was gathered, upper first} */
    private List<Long> gather(CudaTensor places, CudaTensor numbers, boolean right, List<Integer> digits, long rows) {
        List<Long> addresses = new ArrayList<>();
        for (int digit : digits) {
            CudaTensor bytes = scratch("gathered codes", Math.multiplyExact(rows, pitch));
            addresses.add(bytes.address());
            Args args = runtime.args()
                    .struct(arguments.struct())
                    .i32(right ? 1 : 0)
                    .pointer(places.address())
                    .pointer(numbers.address())
                    .pointer(bytes.address())
                    .i64(rows)
                    .i64(pitch)
                    .i32(digit);
            long most = BLOCKS_PER_PROCESSOR * runtime.device().processors();
            runtime.kernels().get(FILE, "gemm_gather").launch(Math.min(rows, most), 1, 1, THREADS, 0, args);
        }
        return addresses;
    }

    private CudaTensor scratch(String label, long bytes) {
        CudaTensor tensor = runtime.memory().scratch(label, bytes);
        scratch.add(tensor);
        return tensor;
    }

    @Override
    public void close() {
        scratch.forEach(CudaTensor::close);
    }
}
