package dev.nibble.backend.cpu;

import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Splits;
import dev.nibble.host.HostOperand;
import dev.nibble.reference.ReferenceGemm;
import java.util.ArrayList;
import java.util.List;

/**
 * How one product walks along its contraction: parts, segments, and the stretches that are packed and multiplied at a
 * time.
 *
 * @param k length of the contraction
 * @param segments in order; together they cover 0..k-1
 * @param blocks in order; each belongs to one segment
 */
record SumOrder(int k, List<Segment> segments, List<Block> blocks) {
    /**
     * Longest block. A block's panel of B then fits into the L1 cache (32 KiB with 16 lanes), and a chain of products
     * of INT8 codes stays exact: 256 · 127² is below 2^24.
     */
    static final int MAX_BLOCK = 256;

    /**
     * A stretch in which each row has one scale.
     *
     * @param part the part of the contraction that it belongs to
     * @param from first index
     * @param firstBlock number of its first block
     * @param endBlock number after its last block
     */
    record Segment(int part, int from, int firstBlock, int endBlock) {}

    /**
     * A stretch that is multiplied at a time.
     *
     * @param segment number of its segment
     * @param from first index
     * @param length its length, at least 1
     */
    record Block(int segment, int from, int length) {}

    /** {@return the order in which a product is summed} */
    static SumOrder of(GemmSpec spec, HostOperand a, HostOperand b) {
        Splits splits = Splits.of(spec.product(), a.rows(), b.rows(), a.k());
        List<Segment> segments = new ArrayList<>();
        List<Block> blocks = new ArrayList<>();
        for (int part = 0; part < splits.parts(); part++) {
            long[] bounds = ReferenceGemm.bounds(spec, a, b, splits.from(part), splits.to(part, a.k()));
            for (int i = 0; i + 1 < bounds.length; i++) {
                addSegment(segments, blocks, part, (int) bounds[i], (int) bounds[i + 1]);
            }
        }
        return new SumOrder((int) a.k(), segments, blocks);
    }

    /**
     * {@return the order of a sum over gathered indices}
     *
     * @param bounds of its segments, ascending from 0
     * @param parts of its segments, ascending
     */
    static SumOrder gathered(int[] bounds, int[] parts) {
        List<Segment> segments = new ArrayList<>();
        List<Block> blocks = new ArrayList<>();
        for (int i = 0; i + 1 < bounds.length; i++) {
            addSegment(segments, blocks, parts[i], bounds[i], bounds[i + 1]);
        }
        return new SumOrder(bounds[bounds.length - 1], segments, blocks);
    }

    private static void addSegment(List<Segment> segments, List<Block> blocks, int part, int from, int to) {
        int firstBlock = blocks.size();
        for (int at = from; at < to; at += MAX_BLOCK) {
            blocks.add(new Block(segments.size(), at, Math.min(MAX_BLOCK, to - at)));
        }
        segments.add(new Segment(part, from, firstBlock, blocks.size()));
    }

    /** {@return whether some segment has several blocks, whose sums must be gathered before they are scaled} */
    boolean gathers() {
        return segments.stream().anyMatch(s -> s.endBlock() - s.firstBlock() > 1);
    }
}
