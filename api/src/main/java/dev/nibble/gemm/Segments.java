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
    /**
     * Length of an FP32 chain of scaled codes before it is promoted (as on tensor cores with promotion every 128): FP8,
     * and operands of different families.
     */
    public static final int FP8_LIMIT = 128;

    private static final long LARGEST_SUM = Integer.MAX_VALUE;

    private Segments() {}

    /**
     * Cuts one part of a contraction.
     *
     * @param a format of the left planes
     * @param granularityA granularity of the left planes
     * @param b format of the right planes
     * @param granularityB granularity of the right planes
     * @param k length of the whole contraction
     * @param from first index of the part
     * @param to end of the part, exclusive
     * @return ascending bounds, the first {@code from}, the last {@code to}
     */
    public static long[] bounds(
            DType a, Granularity granularityA, DType b, Granularity granularityB, long k, long from, long to) {
        long limit = limit(a, b);
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

    private static long limit(DType a, DType b) {
        return switch (Arithmetic.of(a, b)) {
            // Only exponent formats against wide codes come below the usual limit.
            case EXACT -> Math.min(INTEGER_LIMIT, Long.highestOneBit(LARGEST_SUM / (long) (largest(a) * largest(b))));
            case CHAIN -> FP8_LIMIT;
            case FLOAT -> Long.MAX_VALUE;
        };
    }

    private static float largest(DType format) {
        return format == DType.INT4 ? 8 : format.top(); // a lower digit reaches -8
    }

    private static long nextMultiple(long at, long unit) {
        return (at / unit + 1) * unit;
    }
}
