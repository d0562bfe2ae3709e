package dev.nibble.backend.cuda;

/**
 * Where on the device lies what the statistics of a tensor are made of; an address of 0 stands for a statistic that is 0.
 *
 * @param amax bits of the largest magnitude
 * @param flagged number of blocks that have a residual
 * @param threshold that decided
 * @param median of the amaxes of the blocks
 * @param saturated number of elements beyond the range of the codes
 * @param scale the one scale of the first plane
 * @param blocks how many could have a residual
 * @param elements of the tensor
 */
record StatisticsParts(
        long amax, long flagged, long threshold, long median, long saturated, long scale, long blocks, long elements) {
    /** {@return those of a tensor of which the amax alone is known} */
    static StatisticsParts of(long amax, long elements) {
        return new StatisticsParts(amax, 0, 0, 0, 0, 0, 1, elements);
    }

    /** {@return these with a count of saturated elements} */
    StatisticsParts withSaturated(long count) {
        return new StatisticsParts(amax, flagged, threshold, median, count, scale, blocks, elements);
    }

    /** {@return these with a scale} */
    StatisticsParts withScale(long address) {
        return new StatisticsParts(amax, flagged, threshold, median, saturated, address, blocks, elements);
    }

    /** {@return those of a tensor about whose residual was decided: what was known of its first plane is 0 again} */
    StatisticsParts decided(long flaggedAt, long thresholdAt, long medianAt, long ofBlocks) {
        return new StatisticsParts(amax, flaggedAt, thresholdAt, medianAt, 0, 0, ofBlocks, elements);
    }

    /** Writes the {@code Statistics} of quantize_statistics.cu. */
    Struct write(Struct struct, long record, int place) {
        return struct.pointer(amax)
                .pointer(flagged)
                .pointer(threshold)
                .pointer(median)
                .pointer(saturated)
                .pointer(scale)
                .i64(blocks)
                .i64(elements)
                .pointer(record)
                .i32(place)
                .i32(0);
    }
}
