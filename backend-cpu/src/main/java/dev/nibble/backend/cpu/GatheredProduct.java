package dev.nibble.backend.cpu;

import dev.nibble.gemm.Arithmetic;
import dev.nibble.gemm.Epilogue;
import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Product;
import dev.nibble.gemm.Segments;
import dev.nibble.gemm.Term;
import dev.nibble.host.HostOperand;
import dev.nibble.host.HostPlane;
import dev.nibble.host.HostRuntime;
import dev.nibble.host.HostTensor;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;

/**
 * A product of some rows (tokens) of planes with one scale each: they are gathered, so that the others cost nothing.
 *
 * @param gemm computes the gathered products
 * @param d [M, N]
 */
record GatheredProduct(
        CpuGemm gemm, HostRuntime runtime, GemmSpec spec, HostOperand left, HostOperand right, float[] d) {
    /**
     * Tokens of a stretch of the weight gradient whose sum is exact.
     *
     * @param part of the contraction; parts ascend
     * @param term number of the term
     * @param weight multiplies the left scale
     * @param tokens ascending, at least one
     */
    record Segment(int part, int term, float weight, int[] tokens) {}

    /** {@return whether tokens are whole stored rows, and the sum has the usual form} */
    static boolean isUsual(GemmSpec spec, HostOperand a, HostOperand b) {
        boolean gradWeight = spec.product() == Product.GRAD_WEIGHT;
        DType formatA = format(a, spec.terms().getFirst().planeA());
        DType formatB = format(b, spec.terms().getFirst().planeB());
        for (Term term : spec.terms()) {
            boolean sameFormats = format(a, term.planeA()) == formatA && format(b, term.planeB()) == formatB;
            boolean transposed = a.planes().get(term.planeA()).transposed();
            boolean wholeRows =
                    gradWeight ? transposed && b.planes().get(term.planeB()).transposed() : !transposed;
            if (!sameFormats || !wholeRows) {
                return false;
            }
        }
        boolean oneSegment = a.k() <= Segments.INTEGER_LIMIT && formatA != DType.E4M0;
        return Arithmetic.of(formatA, formatB) == Arithmetic.EXACT
                && (gradWeight || (oneSegment && spec.epilogue() == Epilogue.STORE));
    }

    private static DType format(HostOperand operand, int plane) {
        return operand.planes().get(plane).codes().dtype();
    }

    /**
     * Computes the gradient of the input: each term goes on from what the ones before have left in its rows of D.
     *
     * @param weights of the rows in each term, 0 where a row is left out: [terms][tokens]
     */
    void gradInput(float[][] weights) {
        int n = (int) right.rows();
        Arrays.fill(d, 0f);
        SumOrder order = SumOrder.gathered(new int[] {0, (int) left.k()}, new int[1]);
        for (int t = 0; t < weights.length; t++) {
            float[] rowWeights = weights[t]; // [tokens]
            int[] kept = IntStream.range(0, rowWeights.length)
                    .filter(row -> rowWeights[row] != 0)
                    .toArray();
            if (kept.length == 0) {
                continue;
            }
            Term term = spec.terms().get(t);
            HostPlane plane = left.planes().get(term.planeA());
            try (HostTensor codes = StoredRows.allocate(runtime.memory(), plane, kept.length, (int) left.k());
                    HostTensor sums = runtime.memory()
                            .allocate("kept rows of D", DType.FP32, Shape.of(kept.length, n), MemoryTag.SCRATCH)) {
                StoredRows.gather(plane, kept, codes, 0);
                float[] rowsOfD = HostTensor.floats(sums); // [kept, N]
                copyRows(d, kept, rowsOfD, n, false);
                float[] keptWeights = new float[kept.length]; // [kept]
                for (int i = 0; i < kept.length; i++) {
                    keptWeights[i] = rowWeights[kept[i]];
                }
                PlaneUse useA = PlaneUse.of(with(plane, codes), kept.length, term.weightA())
                        .withRowWeights(keptWeights);
                PlaneUse useB = PlaneUse.of(right.planes().get(term.planeB()), n, term.weightB());
                gemm.multiply(List.of(useA), List.of(useB), order, rowsOfD, Epilogue.STORE, true);
                copyRows(d, kept, rowsOfD, n, true);
            }
        }
    }

    /** Copies rows of D to neighbouring rows, or back. */
    private static void copyRows(float[] d, int[] rows, float[] gathered, int n, boolean back) {
        for (int i = 0; i < rows.length; i++) {
            if (back) {
                System.arraycopy(gathered, i * n, d, rows[i] * n, n);
            } else {
                System.arraycopy(d, rows[i] * n, gathered, i * n, n);
            }
        }
    }

    /** Computes the weight gradient: the codes of all segments lie one after the other, each with the scales of its term. */
    void gradWeight(List<Segment> segments) {
        int[] bounds = new int[segments.size() + 1]; // [segments + 1]
        int[] parts = new int[segments.size()]; // [segments]
        float[] scalesA = new float[segments.size()]; // [segments]
        float[] scalesB = new float[segments.size()]; // [segments]
        for (int s = 0; s < segments.size(); s++) {
            Segment segment = segments.get(s);
            Term term = spec.terms().get(segment.term());
            bounds[s + 1] = bounds[s] + segment.tokens().length;
            parts[s] = segment.part();
            scalesA[s] = segment.weight() * (term.weightA() * scale(left, term.planeA()));
            scalesB[s] = term.weightB() * scale(right, term.planeB());
        }
        int total = bounds[segments.size()];
        if (total == 0) {
            finishEmpty();
            return;
        }
        HostPlane likeA = left.planes().get(spec.terms().getFirst().planeA());
        HostPlane likeB = right.planes().get(spec.terms().getFirst().planeB());
        try (HostTensor codesA = StoredRows.allocate(runtime.memory(), likeA, total, (int) left.rows());
                HostTensor codesB = StoredRows.allocate(runtime.memory(), likeB, total, (int) right.rows());
                HostTensor none = runtime.memory().allocate("scales", DType.FP32, Shape.of(0), MemoryTag.SCRATCH)) {
            for (int s = 0; s < segments.size(); s++) {
                Term term = spec.terms().get(segments.get(s).term());
                int[] tokens = segments.get(s).tokens();
                StoredRows.gather(left.planes().get(term.planeA()), tokens, codesA, bounds[s]);
                StoredRows.gather(right.planes().get(term.planeB()), tokens, codesB, bounds[s]);
            }
            PlaneUse useA =
                    PlaneUse.of(unscaled(likeA, codesA, none), left.rows(), 1).withSegmentWeights(scalesA);
            PlaneUse useB =
                    PlaneUse.of(unscaled(likeB, codesB, none), right.rows(), 1).withSegmentWeights(scalesB);
            gemm.multiply(List.of(useA), List.of(useB), SumOrder.gathered(bounds, parts), d, spec.epilogue(), false);
        }
    }

    private void finishEmpty() {
        for (int i = 0; i < d.length; i++) {
            d[i] = spec.epilogue() == Epilogue.ADD ? d[i] + 0f : 0f;
        }
    }

    /** {@return the scale of a plane} */
    static float scale(HostOperand operand, int plane) {
        return HostTensor.floats(operand.planes().get(plane).scales())[0];
    }

    private static HostPlane with(HostPlane plane, HostTensor codes) {
        return new HostPlane(plane.spec(), codes, plane.transposed(), plane.scales(), plane.mask());
    }

    private static HostPlane unscaled(HostPlane plane, HostTensor codes, HostTensor none) {
        return new HostPlane(plane.spec(), codes, plane.transposed(), none, plane.mask());
    }
}
