package dev.nibble.gemm;

/**
 * The fixed parts that a contraction is cut into, so that many processors can share it and the sum still has one
 * order. Only the weight gradient is split: its contraction is long (tokens) and its result may be small. Changing
 * this table changes numbers.
 *
 * @param parts number of parts, at least 1
 * @param length length of each part but the last
 */
public record Splits(int parts, long length) {
    private static final int TILE_M = 128;
    private static final int TILE_N = 256;
    private static final int TARGET_TILES = 132; // one for each multiprocessor of the largest device we tune for
    private static final int MIN_LENGTH = 2048; // below this a part is dominated by its own prologue and the final sum
    private static final int ALIGNMENT = 256; // a multiple of the usual block extents: no block is cut

    /**
     * {@return how the contraction of a product is split}
     *
     * @param product which product
     * @param m rows of D
     * @param n columns of D
     * @param k length of the contraction
     */
    public static Splits of(Product product, long m, long n, long k) {
        if (product != Product.GRAD_WEIGHT) {
            return new Splits(1, k);
        }
        long tiles = Math.max(1, Math.ceilDiv(m, TILE_M) * Math.ceilDiv(n, TILE_N));
        long wanted = Math.min(TARGET_TILES / tiles, k / MIN_LENGTH);
        long parts = Math.max(1, Long.highestOneBit(Math.max(wanted, 1)));
        long length = Math.ceilDiv(Math.ceilDiv(Math.max(k, 1), parts), ALIGNMENT) * ALIGNMENT;
        return parts == 1 ? new Splits(1, k) : new Splits((int) Math.ceilDiv(k, length), length);
    }

    /** {@return the first index of a part} */
    public long from(int part) {
        return part * length;
    }

    /** {@return the end of a part, exclusive} */
    public long to(int part, long k) {
        return part == parts - 1 ? k : (part + 1) * length;
    }
}
