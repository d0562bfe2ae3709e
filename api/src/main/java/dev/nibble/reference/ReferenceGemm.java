package dev.nibble.reference;

import dev.nibble.gemm.Epilogue;
import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Segments;
import dev.nibble.gemm.Splits;
import dev.nibble.gemm.Term;
import dev.nibble.host.HostExecution;
import dev.nibble.host.HostOperand;
import dev.nibble.host.HostRuntime;
import dev.nibble.host.HostTensor;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.spi.GemmBackend;
import dev.nibble.spi.Operand;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.LongStream;

/**
 * Matrix products in plain loops: the specification of the order of each sum. The loop over the columns of D is the
 * innermost, which changes no element's own order.
 */
public final class ReferenceGemm implements GemmBackend {
    private final HostRuntime runtime;

    /**
     * Makes the operation of one backend.
     *
     * @param runtime where launches are noted
     */
    public ReferenceGemm(HostRuntime runtime) {
        this.runtime = runtime;
    }

    @Override
    public void multiply(StepScope scope, GemmSpec spec, Site site, Operand a, Operand b, Tensor d) {
        HostOperand left = HostOperand.of(a);
        HostOperand right = HostOperand.of(b);
        requireFit(spec, site, left, right, d);
        int m = (int) left.rows();
        int n = (int) right.rows();
        Splits splits = Splits.of(spec.product(), m, n, left.k());
        List<long[]> parts = new ArrayList<>(); // segment bounds of each part
        for (int part = 0; part < splits.parts(); part++) {
            parts.add(bounds(spec, left, right, splits.from(part), splits.to(part, left.k())));
        }
        List<GemmSide> lefts = left.planes().stream()
                .map(p -> GemmSide.left(p, m, (int) left.k()))
                .toList();
        List<GemmSide> rights = right.planes().stream()
                .map(p -> GemmSide.right(p, n, (int) right.k()))
                .toList();
        float[] out = HostTensor.floats(d); // [M, N]
        for (int row = 0; row < m; row++) {
            float[] sum = sum(spec.terms(), lefts, rights, parts, row, n);
            for (int col = 0; col < n; col++) {
                out[row * n + col] = spec.epilogue() == Epilogue.ADD ? out[row * n + col] + sum[col] : sum[col];
            }
        }
        String computeType =
                computeType(left.storedFormat(spec.terms().getFirst().planeA()));
        runtime.log().launched(HostExecution.row(site, spec, left, right, "reference-gemm", computeType));
    }

    /**
     * Checks that operands and result fit together.
     *
     * @throws IllegalArgumentException naming both shapes
     */
    public static void requireFit(GemmSpec spec, Site site, HostOperand a, HostOperand b, Tensor d) {
        String where = spec.product().label() + " of layer " + site.name() + ": ";
        if (a.k() != b.k()) {
            throw new IllegalArgumentException("%sA is [%d, %d] and B is [%d, %d], but both need the same last extent"
                    .formatted(where, a.rows(), a.k(), b.rows(), b.k()));
        }
        if (d.shape().rows() != a.rows() || d.shape().cols() != b.rows()) {
            throw new IllegalArgumentException("%sD is %s, but A [%d, %d] and B [%d, %d] need [%d, %d]"
                    .formatted(where, d.shape(), a.rows(), a.k(), b.rows(), b.k(), a.rows(), b.rows()));
        }
        for (Term term : spec.terms()) {
            if (term.planeA() >= a.planes().size()
                    || term.planeB() >= b.planes().size()) {
                throw new IllegalArgumentException("%sa term uses planes %d and %d, but the operands have %d and %d"
                        .formatted(
                                where,
                                term.planeA(),
                                term.planeB(),
                                a.planes().size(),
                                b.planes().size()));
            }
        }
    }

    /**
     * {@return the bounds of the segments of one part: the common refinement of those of all terms}
     *
     * @param spec terms
     * @param a left operand
     * @param b right operand
     * @param from first index of the part
     * @param to end of the part, exclusive
     */
    public static long[] bounds(GemmSpec spec, HostOperand a, HostOperand b, long from, long to) {
        LongStream bounds = LongStream.empty();
        for (Term term : spec.terms()) {
            PlaneSpec planeA = a.planes().get(term.planeA()).spec();
            PlaneSpec planeB = b.planes().get(term.planeB()).spec();
            long[] own = Segments.bounds(
                    planeA.format(), planeA.granularity(), planeB.format(), planeB.granularity(), a.k(), from, to);
            bounds = LongStream.concat(bounds, Arrays.stream(own));
        }
        return bounds.sorted().distinct().toArray();
    }

    private static String computeType(DType format) {
        return switch (format.family()) {
            case INTEGER -> "exact int32, fp32 scale";
            case FP8 -> "fp32 fma chains of " + Segments.FP8_LIMIT;
            case FLOAT -> "fp32 fma chain";
            case INDEX -> throw new IllegalStateException("an operand cannot be " + format.label());
        };
    }

    /** {@return one row of D before the epilogue, [N]} */
    private static float[] sum(
            List<Term> terms, List<GemmSide> lefts, List<GemmSide> rights, List<long[]> parts, int row, int n) {
        float[] sum = new float[n]; // [N]
        for (int part = 0; part < parts.size(); part++) {
            float[] acc = new float[n]; // [N]
            long[] bounds = parts.get(part);
            for (int segment = 0; segment + 1 < bounds.length; segment++) {
                for (Term term : terms) {
                    addTerm(
                            lefts.get(term.planeA()),
                            rights.get(term.planeB()),
                            row,
                            (int) bounds[segment],
                            (int) bounds[segment + 1],
                            acc);
                }
            }
            for (int col = 0; col < n; col++) {
                sum[col] = part == 0 ? acc[col] : sum[col] + acc[col];
            }
        }
        return sum;
    }

    private static void addTerm(GemmSide a, GemmSide b, int row, int from, int to, float[] acc) {
        if (!a.present(row, from)) {
            return;
        }
        switch (a.format().family()) {
            case INTEGER -> addExact(a, b, row, from, to, acc);
            case FP8 -> addChain(a, b, row, from, to, acc);
            case FLOAT -> chain(a, b, row, from, to, acc);
            case INDEX ->
                throw new IllegalStateException(
                        "an operand cannot be " + a.format().label());
        }
    }

    private static void addExact(GemmSide a, GemmSide b, int row, int from, int to, float[] acc) {
        int n = acc.length;
        int[] exact = new int[n]; // [N]; cannot overflow within a segment
        for (int k = from; k < to; k++) {
            int code = a.codes()[row * a.k() + k];
            for (int col = 0; col < n; col++) {
                exact[col] += code * b.codes()[k * n + col];
            }
        }
        for (int col = 0; col < n; col++) {
            if (b.present(col, from)) {
                acc[col] = Math.fma(a.scale(row, from) * b.scale(col, from), (float) exact[col], acc[col]);
            }
        }
    }

    private static void addChain(GemmSide a, GemmSide b, int row, int from, int to, float[] acc) {
        float[] chain = new float[acc.length]; // [N]
        chain(a, b, row, from, to, chain);
        for (int col = 0; col < acc.length; col++) {
            if (b.present(col, from)) {
                acc[col] = Math.fma(a.scale(row, from) * b.scale(col, from), chain[col], acc[col]);
            }
        }
    }

    private static void chain(GemmSide a, GemmSide b, int row, int from, int to, float[] chain) {
        int n = chain.length;
        for (int k = from; k < to; k++) {
            float value = a.values()[row * a.k() + k];
            for (int col = 0; col < n; col++) {
                chain[col] = Math.fma(value, b.values()[k * n + col], chain[col]);
            }
        }
    }
}
