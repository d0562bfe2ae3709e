package dev.nibble.backend.cuda;

import dev.nibble.gemm.Arithmetic;
import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Segments;
import dev.nibble.gemm.Splits;
import dev.nibble.gemm.Term;
import dev.nibble.quant.Granularity;
import dev.nibble.tensor.DType;
import java.util.ArrayList;
import java.util.List;

/**
 * What the formats, scales and shapes of a product allow.
 *
 * @param spec terms
 * @param a left operand
 * @param b right operand
 * @param terms the same, as kernels see them
 * @param splits parts of the contraction
 * @param limit indexes that a segment has at most
 */
record ProductPlan(GemmSpec spec, CudaOperand a, CudaOperand b, List<PlaneTerm> terms, Splits splits, long limit) {
    private static final long STAGE = 128; // of the contraction, in bytes
    private static final long SMALLEST_STAGE = 32;

    static ProductPlan of(GemmSpec spec, CudaOperand a, CudaOperand b) {
        List<PlaneTerm> terms = new ArrayList<>();
        long limit = Long.MAX_VALUE;
        for (Term term : spec.terms()) {
            CudaPlane left = a.planes().get(term.planeA());
            CudaPlane right = b.planes().get(term.planeB());
            terms.add(new PlaneTerm(PlaneTerm.Side.of(left, term.weightA()), PlaneTerm.Side.of(right, term.weightB())));
            limit = Math.min(limit, limit(left.dtype(), right.dtype()));
        }
        Splits splits = Splits.of(spec.product(), a.rows(), b.rows(), a.k());
        return new ProductPlan(spec, a, b, terms, splits, limit);
    }

    private static long limit(DType a, DType b) {
        if (Arithmetic.of(a, b) == Arithmetic.FLOAT) {
            return Long.MAX_VALUE;
        }
        Granularity one = new Granularity.PerTensor();
        return Segments.bounds(a, one, b, one, Segments.INTEGER_LIMIT, 0, Segments.INTEGER_LIMIT)[1];
    }

    long m() {
        return a.rows();
    }

    long n() {
        return b.rows();
    }

    long k() {
        return a.k();
    }

    /** {@return whether all terms have this arithmetic} */
    boolean all(Arithmetic arithmetic) {
        return terms.stream()
                .allMatch(term -> Arithmetic.of(term.a().format(), term.b().format()) == arithmetic);
    }

    /** {@return whether no plane has a mask} */
    boolean everyBlockPresent() {
        return terms.stream().allMatch(term -> term.a().mask() == 0 && term.b().mask() == 0);
    }

    /** {@return whether all planes have codes that fit a byte} */
    boolean fitsBytes() {
        return terms.stream()
                .allMatch(term -> term.a().format() != DType.E4M0 && term.b().format() != DType.E4M0);
    }

    /** {@return whether the only term multiplies planes of these formats} */
    boolean isOne(DType left, DType right) {
        return terms.size() == 1
                && terms.getFirst().a().format() == left
                && terms.getFirst().b().format() == right;
    }

    /** {@return whether scales reach along the whole contraction} */
    boolean oneGroup() {
        return groupK(a) >= k() && groupK(b) >= k();
    }

    /** {@return whether segments end at multiples of this, or at the end of the contraction} */
    boolean endsAt(long multiple) {
        return limit % multiple == 0 && endsAt(a, multiple) && endsAt(b, multiple);
    }

    private boolean endsAt(CudaOperand operand, long multiple) {
        return groupK(operand) >= k() || groupK(operand) % multiple == 0;
    }

    private static long groupK(CudaOperand operand) {
        return operand.planes().getFirst().groupK();
    }

    /** {@return the longest stage, 128, 64 or 32 bytes, at whose ends all segments end; 0 if there is none} */
    int stage() {
        for (long stage = STAGE; stage >= SMALLEST_STAGE; stage /= 2) {
            if (endsAt(stage)) {
                return (int) stage;
            }
        }
        return 0;
    }

    /**
     * {@return stages of 128 of each segment but a part's last, where a tile of 128 x 128 has one scale on each side at a time;
     * 0 elsewhere}
     */
    int stagesOfSegment() {
        long first = reach(a);
        long second = reach(b);
        long length = Math.min(first, second);
        boolean nested = Math.max(first, second) % length == 0 || Math.max(first, second) >= k();
        boolean fits = nested && length % STAGE == 0 && length <= limit;
        return fits && wholeTiles(a) && wholeTiles(b) ? Math.toIntExact(length / STAGE) : 0;
    }

    /** {@return how far a scale reaches, a whole contraction being whole stages} */
    private long reach(CudaOperand operand) {
        return groupK(operand) >= k() ? CudaMemory.padded(k()) : groupK(operand);
    }

    private static boolean wholeTiles(CudaOperand operand) {
        long groupRows = operand.planes().getFirst().groupRows();
        return groupRows % CudaMemory.TILE == 0 || groupRows >= operand.rows();
    }

    /** {@return segments of each part, where scales reach along the whole contraction; 0 if parts have different numbers} */
    long segmentsOfEachPart() {
        long ofFirst = Math.ceilDiv(splits.to(0, k()), Math.min(limit, k()));
        int last = splits.parts() - 1;
        long ofLast = Math.ceilDiv(k() - splits.from(last), Math.min(limit, k()));
        return ofFirst == ofLast ? ofFirst : 0;
    }

    /** {@return tiles of all parts} */
    long tiles(long rows, long cols) {
        return Math.multiplyExact(Math.multiplyExact(Math.ceilDiv(m(), rows), Math.ceilDiv(n(), cols)), splits.parts());
    }
}
