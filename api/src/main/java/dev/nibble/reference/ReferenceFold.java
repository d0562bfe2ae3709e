package dev.nibble.reference;

import dev.nibble.gemm.Arithmetic;
import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Term;
import java.util.List;

/**
 * Folds the terms of a product into one row of D, in the specified order.
 *
 * @param spec terms
 * @param lefts planes of A
 * @param rights planes of B
 * @param n columns of D
 */
record ReferenceFold(GemmSpec spec, List<GemmSide> lefts, List<GemmSide> rights, int n) {
    /** The weight of a term in one row; 0 leaves it out. */
    @FunctionalInterface
    interface RowWeight {
        float of(int term);
    }

    /** {@return a row over all of the contraction, [N]} */
    float[] all(List<long[]> parts, int row, RowWeight weight) {
        float[] sum = new float[n]; // [N]
        for (int part = 0; part < parts.size(); part++) {
            float[] acc = new float[n]; // [N]
            long[] bounds = parts.get(part);
            for (int segment = 0; segment + 1 < bounds.length; segment++) {
                for (int term = 0; term < spec.terms().size(); term++) {
                    int from = (int) bounds[segment];
                    addTerm(spec.terms().get(term), row, weight.of(term), from, (int) bounds[segment + 1], acc);
                }
            }
            for (int col = 0; col < n; col++) {
                sum[col] = part == 0 ? acc[col] : sum[col] + acc[col];
            }
        }
        return sum;
    }

    /** {@return a row over the kept tokens, [N]} */
    float[] kept(List<LeverageSampling.Kept> segments, int row) {
        float[] acc = new float[n]; // [N]
        for (LeverageSampling.Kept segment : segments) {
            Term term = spec.terms().get(segment.term());
            GemmSide a = lefts.get(term.planeA());
            GemmSide b = rights.get(term.planeB());
            int[] exact = new int[n]; // [N]; cannot overflow within a segment
            for (int token : segment.tokens()) {
                addProducts(a, b, row, token, exact);
            }
            float scaleA = Math.scalb(1f, segment.exponent()) * (term.weightA() * a.scale(row, 0));
            for (int col = 0; col < n; col++) {
                acc[col] = Math.fma(scaleA * (term.weightB() * b.scale(col, 0)), (float) exact[col], acc[col]);
            }
        }
        return acc;
    }

    private void addTerm(Term term, int row, float weight, int from, int to, float[] acc) {
        GemmSide a = lefts.get(term.planeA());
        GemmSide b = rights.get(term.planeB());
        if (weight == 0 || !a.present(row, from)) {
            return;
        }
        Arithmetic arithmetic = Arithmetic.of(a.format(), b.format());
        if (arithmetic == Arithmetic.FLOAT) {
            chain(a, b, row, from, to, acc);
            return;
        }
        float[] sums = new float[n]; // [N]
        if (arithmetic == Arithmetic.EXACT) {
            exact(a, b, row, from, to, sums);
        } else {
            chain(a, b, row, from, to, sums);
        }
        float scaleA = weight * (term.weightA() * a.scale(row, from));
        for (int col = 0; col < n; col++) {
            if (b.present(col, from)) {
                acc[col] = Math.fma(scaleA * (term.weightB() * b.scale(col, from)), sums[col], acc[col]);
            }
        }
    }

    private void exact(GemmSide a, GemmSide b, int row, int from, int to, float[] sums) {
        int[] exact = new int[n]; // [N]; cannot overflow within a segment
        for (int k = from; k < to; k++) {
            addProducts(a, b, row, k, exact);
        }
        for (int col = 0; col < n; col++) {
            sums[col] = exact[col];
        }
    }

    private void addProducts(GemmSide a, GemmSide b, int row, int k, int[] exact) {
        int code = a.codes()[row * a.k() + k];
        for (int col = 0; col < n; col++) {
            exact[col] += code * b.codes()[k * n + col];
        }
    }

    private void chain(GemmSide a, GemmSide b, int row, int from, int to, float[] chain) {
        for (int k = from; k < to; k++) {
            float value = a.values()[row * a.k() + k];
            for (int col = 0; col < n; col++) {
                chain[col] = Math.fma(value, b.values()[k * n + col], chain[col]);
            }
        }
    }
}
