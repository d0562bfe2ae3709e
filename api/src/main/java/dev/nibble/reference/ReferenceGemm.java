package dev.nibble.reference;

import dev.nibble.gemm.Arithmetic;
import dev.nibble.gemm.Epilogue;
import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Product;
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
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
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
        List<GemmSide> lefts = left.planes().stream()
                .map(p -> GemmSide.left(p, m, (int) left.k()))
                .toList();
        List<GemmSide> rights = right.planes().stream()
                .map(p -> GemmSide.right(p, n, (int) right.k()))
                .toList();
        var fold = new ReferenceFold(spec, lefts, rights, n);
        RowSum sums = rowSums(scope, spec, site, left, right, fold);
        float[] out = HostTensor.floats(d); // [M, N]
        for (int row = 0; row < m; row++) {
            float[] sum = sums.of(row);
            for (int col = 0; col < n; col++) {
                out[row * n + col] = spec.epilogue() == Epilogue.ADD ? out[row * n + col] + sum[col] : sum[col];
            }
        }
        runtime.log()
                .launched(HostExecution.row(site, spec, left, right, "reference-gemm", computeType(spec, left, right)));
    }

    /** One row of D before the epilogue, [N]. */
    @FunctionalInterface
    private interface RowSum {
        float[] of(int row);
    }

    private RowSum rowSums(
            StepScope scope, GemmSpec spec, Site site, HostOperand a, HostOperand b, ReferenceFold fold) {
        StepContext context = scope.context();
        boolean draws = LeverageSampling.draws(spec, a, b);
        if (draws && spec.product() == Product.GRAD_WEIGHT) {
            List<LeverageSampling.Kept> kept = LeverageSampling.keptTokens(
                    spec, a, RowNorms.alongRows(a), RowNorms.alongRows(b), site, context, runtime.seed());
            return row -> fold.kept(kept, row);
        }
        Splits splits = Splits.of(spec.product(), a.rows(), b.rows(), a.k());
        List<long[]> parts = new ArrayList<>(); // segment bounds of each part
        for (int part = 0; part < splits.parts(); part++) {
            parts.add(bounds(spec, a, b, splits.from(part), splits.to(part, a.k())));
        }
        if (draws) {
            float[][] weights = LeverageSampling.rowWeights(
                    spec, a, RowNorms.alongContraction(a), site, context, runtime.seed()); // [terms][tokens]
            return row -> fold.all(parts, row, term -> weights[term][row]);
        }
        return row -> fold.all(parts, row, _ -> 1);
    }

    /**
     * Checks that operands and result fit together.
     *
     * @throws IllegalArgumentException naming both shapes
     */
    public static void requireFit(GemmSpec spec, Site site, HostOperand a, HostOperand b, Tensor d) {
        OperandChecks.requireProduct(spec, site, a, b, d);
        LeverageSampling.requireSupported(spec, a, b);
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

    private static String computeType(GemmSpec spec, HostOperand a, HostOperand b) {
        Term first = spec.terms().getFirst();
        return switch (Arithmetic.of(a.storedFormat(first.planeA()), b.storedFormat(first.planeB()))) {
            case EXACT -> "exact int32, fp32 scale";
            case CHAIN -> "fp32 fma chains of " + Segments.FP8_LIMIT;
            case FLOAT -> "fp32 fma chain";
        };
    }
}
