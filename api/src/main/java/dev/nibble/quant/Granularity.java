package dev.nibble.quant;

/** Which elements of an operand [rows, k] share a scale. */
public sealed interface Granularity {
    /** One scale for the whole operand. */
    record PerTensor() implements Granularity {}

    /** One scale a row of the operand: along the contraction, so it can be taken out of the sum. */
    record PerRow() implements Granularity {}

    /**
     * One scale for each block. Blocks at the lower and right edge may be smaller.
     *
     * @param rows rows of a block, at least 1
     * @param k extent of a block along the contraction, at least 1
     */
    record PerBlock(int rows, int k) implements Granularity {
        /** Checks the extents. */
        public PerBlock {
            if (rows < 1 || k < 1) {
                throw new IllegalArgumentException("block " + rows + "x" + k + " is empty");
            }
        }
    }

    /** {@return rows that share a scale in an operand with this many rows} */
    default long groupRows(long rows) {
        return switch (this) {
            case PerTensor _ -> Math.max(rows, 1);
            case PerRow _ -> 1;
            case PerBlock block -> block.rows();
        };
    }

    /** {@return how far along a contraction of length {@code k} a scale reaches} */
    default long groupK(long k) {
        return switch (this) {
            case PerTensor _ -> Math.max(k, 1);
            case PerRow _ -> Math.max(k, 1);
            case PerBlock block -> block.k();
        };
    }

    /** {@return the number of scales down the rows} */
    default long rowGroups(long rows) {
        return Math.ceilDiv(rows, groupRows(rows));
    }

    /** {@return the number of scales along the contraction} */
    default long kGroups(long k) {
        return Math.ceilDiv(k, groupK(k));
    }

    /**
     * {@return whether the codes of a matrix are also the codes of its transpose} True for one scale a tensor
     * and for square blocks.
     */
    default boolean transposable() {
        return switch (this) {
            case PerTensor _ -> true;
            case PerRow _ -> false;
            case PerBlock block -> block.rows() == block.k();
        };
    }
}
