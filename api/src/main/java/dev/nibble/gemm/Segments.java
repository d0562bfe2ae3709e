package dev.nibble.gemm;

import dev.nibble.quant.Granularity;
import dev.nibble.tensor.DType;
import java.util.Arrays;

/**
 * Where a contraction is cut: within a segment both operands have one scale for each row, so its sum can be scaled
 * once.
 */
public final class Segments {
    /** An s32 sum of ±127 codes cannot overflow before this length: 131072 · 127² &lt; 2^31. */
    public static final int INTEGER_LIMIT = 131072;
    /** Length of an FP8 chain before it is promoted (as on tensor cores with promotion every 128). */
    public static final int FP8_LIMIT = 128;

    private Segments() {}

    /**
     * Cuts one part of a contraction.
     *
     * @param a format of the left planes
     * @param granularityA granularity of the left planes
     * @param b format of the right planes, of the same family
     * @param granularityB granularity of the right planes
     * @param k length of the whole contraction
     * @param from first index of the part
     * @param to end of the part, exclusive
     * @return ascending bounds, the first {@code from}, the last {@code to}
     */
    public static long[] bounds(
            DType a, Granularity granularityA, DType b, Granularity granularityB, long k, long from, long to) {
        if (a.family() != b.family()) {
            throw new IllegalArgumentException(a.label() + " and " + b.label()
                    + " cannot be multiplied; both operands must be integers, 8-bit floats, or wider floats");
        }
        long limit = switch (a.family()) {
            case INTEGER -> INTEGER_LIMIT;
            case FP8 -> FP8_LIMIT;
            case FLOAT, INDEX -> Long.MAX_VALUE;
        };
        long[] bounds = new long[16];
        int count = 0;
        long at = from;
        bounds[count++] = at;
        while (at < to) {
            long next = limit > to - at ? to : at + limit;
            next = Math.min(next, nextMultiple(at, granularityA.groupK(k)));
            next = Math.min(next, nextMultiple(at, granularityB.groupK(k)));
            at = Math.min(next, to);
            if (count == bounds.length) {
                bounds = Arrays.copyOf(bounds, 2 * count);
            }
            bounds[count++] = at;
        }
        return Arrays.copyOf(bounds, count);
    }

    private static long nextMultiple(long at, long unit) {
        return (at / unit + 1) * unit;
    }
}
