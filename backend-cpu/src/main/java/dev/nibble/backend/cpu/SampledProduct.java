package dev.nibble.backend.cpu;

import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Product;
import dev.nibble.gemm.Sampling;
import dev.nibble.gemm.Splits;
import dev.nibble.gemm.Term;
import dev.nibble.host.HostOperand;
import dev.nibble.host.HostPlane;
import dev.nibble.quant.Granularity;
import dev.nibble.reference.LeverageSampling;
import dev.nibble.reference.ReferenceGemm;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepContext;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;

/**
 * Which rows of dY enter a product, by {@link Sampling}.
 *
 * @param workers threads
 * @param spec the product
 * @param left dY
 * @param right the other operand
 */
record SampledProduct(Workers workers, GemmSpec spec, HostOperand left, HostOperand right) {
    /** Draws rows and computes the product of those that are kept. */
    void leverage(GatheredProduct product, Site site, StepContext context, long seed) {
        long[][] norms = norms(left); // [planes][tokens]
        if (spec.product() == Product.GRAD_INPUT) {
            product.gradInput(LeverageSampling.rowWeights(spec, left, norms, site, context, seed));
            return;
        }
        product.gradWeight(LeverageSampling.keptTokens(spec, left, norms, norms(right), site, context, seed).stream()
                .map(kept ->
                        new GatheredProduct.Segment(0, kept.term(), Math.scalb(1f, kept.exponent()), kept.tokens()))
                .toList());
    }

    /** {@return norms of the rows of each plane, [planes][tokens], if some row is 0 and can be left out} */
    Optional<long[][]> normsWithZeros() {
        if (!zerosAddNothing()) {
            return Optional.empty();
        }
        long[][] norms = norms(left); // [planes][tokens]
        boolean someZero = spec.terms().stream()
                .anyMatch(term -> Arrays.stream(norms[term.planeA()]).anyMatch(norm -> norm == 0));
        return someZero ? Optional.of(norms) : Optional.empty();
    }

    /** Computes the product of the rows that have a code other than 0. */
    void nonzero(GatheredProduct product, long[][] norms) {
        if (spec.product() == Product.GRAD_INPUT) {
            product.gradInput(spec.terms().stream()
                    .map(term -> presence(norms[term.planeA()]))
                    .toArray(float[][]::new));
        } else {
            product.gradWeight(segments(norms));
        }
    }

    /** With scales that are not finite, 0 · scale is NaN. */
    private boolean zerosAddNothing() {
        for (Term term : spec.terms()) {
            if (!hasOneScale(left, term.planeA()) || !hasOneScale(right, term.planeB())) {
                return false;
            }
            float scale = (term.weightA() * GatheredProduct.scale(left, term.planeA()))
                    * (term.weightB() * GatheredProduct.scale(right, term.planeB()));
            if (!Float.isFinite(scale)) {
                return false;
            }
        }
        return true;
    }

    private static boolean hasOneScale(HostOperand operand, int index) {
        HostPlane plane = operand.planes().get(index);
        return plane.spec().granularity() instanceof Granularity.PerTensor && plane.scaled() && !plane.masked();
    }

    private static float[] presence(long[] norms) {
        float[] presence = new float[norms.length]; // [tokens]
        for (int token = 0; token < norms.length; token++) {
            presence[token] = norms[token] == 0 ? 0 : 1;
        }
        return presence;
    }

    /** {@return the segments of the whole product, without the tokens whose codes are all 0} */
    private List<GatheredProduct.Segment> segments(long[][] norms) {
        List<GatheredProduct.Segment> segments = new ArrayList<>();
        Splits splits = Splits.of(spec.product(), left.rows(), right.rows(), left.k());
        for (int part = 0; part < splits.parts(); part++) {
            long[] bounds = ReferenceGemm.bounds(spec, left, right, splits.from(part), splits.to(part, left.k()));
            for (int i = 0; i + 1 < bounds.length; i++) {
                for (int term = 0; term < spec.terms().size(); term++) {
                    long[] normsOfTerm = norms[spec.terms().get(term).planeA()]; // [tokens]
                    int[] tokens = IntStream.range((int) bounds[i], (int) bounds[i + 1])
                            .filter(token -> normsOfTerm[token] != 0)
                            .toArray();
                    if (tokens.length > 0) {
                        segments.add(new GatheredProduct.Segment(part, term, 1, tokens));
                    }
                }
            }
        }
        return segments;
    }

    private long[][] norms(HostOperand operand) {
        return operand.planes().stream()
                .map(plane -> StoredRows.norms(workers, plane))
                .toArray(long[][]::new);
    }
}
