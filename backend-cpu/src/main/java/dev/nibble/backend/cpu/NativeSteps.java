package dev.nibble.backend.cpu;

import java.util.ArrayList;
import java.util.List;

/** The order of a product's sum as the native library reads it: steps, and groups of steps. */
final class NativeSteps {
    /** Longs of {@code Group} in gemm.h. */
    static final int GROUP = 4;

    private static final int ENDS_FIRST_PART = 1;
    private static final int ENDS_PART = 2;
    private static final int ENDS_ONLY_PART = 3;
    private static final int ENDS_LAST_PART = 4;

    private final SumOrder order;
    private final long[] steps; // [steps][longs of a step]
    private final long[] groups; // [groups][GROUP]
    private final boolean wholes;

    /**
     * Planes that are multiplied.
     *
     * @param planeA plane of A
     * @param planeB plane of B
     */
    record Term(int planeA, int planeB) {}

    /** A stretch of one term. */
    private record Stretch(int block, Term term) {}

    /**
     * Orders the steps.
     *
     * @param groupLength of the contraction, at most, unless a step alone is longer
     * @param longsOfStep of {@code Step} in gemm.h
     */
    NativeSteps(SumOrder order, List<Term> terms, NativeSide a, NativeSide b, int groupLength, int longsOfStep) {
        this.order = order;
        List<Stretch> stretches = new ArrayList<>();
        for (SumOrder.Segment segment : order.segments()) {
            for (Term term : terms) {
                for (int block = segment.firstBlock(); block < segment.endBlock(); block++) {
                    stretches.add(new Stretch(block, term));
                }
            }
        }
        steps = new long[stretches.size() * longsOfStep];
        for (int i = 0; i < stretches.size(); i++) {
            write(stretches.get(i), a, b, i * longsOfStep);
        }
        List<long[]> found = groups(stretches, groupLength);
        groups = found.stream().flatMapToLong(java.util.Arrays::stream).toArray();
        boolean crosses = false;
        for (long[] group : found) {
            Stretch last = stretches.get((int) group[1] - 1);
            crosses |= last.block() + 1 < segmentOf(last).endBlock();
        }
        wholes = crosses;
    }

    private SumOrder.Segment segmentOf(Stretch stretch) {
        return order.segments().get(order.blocks().get(stretch.block()).segment());
    }

    private void write(Stretch stretch, NativeSide a, NativeSide b, int at) {
        SumOrder.Block block = order.blocks().get(stretch.block());
        SumOrder.Segment segment = order.segments().get(block.segment());
        int planeA = stretch.term().planeA();
        int planeB = stretch.term().planeB();
        long[] step = {
            block.length(),
            a.blockAt(planeA, stretch.block()),
            b.blockAt(planeB, stretch.block()),
            a.gridAt(planeA, block.segment()),
            b.gridAt(planeB, block.segment()),
            a.stateAt(planeA, block.segment()),
            b.stateAt(planeB, block.segment()),
            a.presenceAt(planeA, block.segment()),
            b.presenceAt(planeB, block.segment()),
            stretch.block() == segment.firstBlock() ? 1 : 0,
            stretch.block() == segment.endBlock() - 1 ? 1 : 0
        };
        System.arraycopy(step, 0, steps, at, step.length);
    }

    private List<long[]> groups(List<Stretch> stretches, int groupLength) {
        List<long[]> found = new ArrayList<>();
        int from = 0;
        boolean starts = true;
        while (from < stretches.size()) {
            int part = segmentOf(stretches.get(from)).part();
            int to = from;
            int length = 0;
            while (to < stretches.size() && segmentOf(stretches.get(to)).part() == part) {
                length += order.blocks().get(stretches.get(to).block()).length();
                if (to > from && length > groupLength) {
                    break;
                }
                to++;
            }
            boolean last = to == stretches.size();
            boolean ends = last || segmentOf(stretches.get(to)).part() != part;
            int how = !ends
                    ? 0
                    : last ? (part == 0 ? ENDS_ONLY_PART : ENDS_LAST_PART) : part == 0 ? ENDS_FIRST_PART : ENDS_PART;
            found.add(new long[] {from, to, starts ? 1 : 0, how});
            starts = ends;
            from = to;
        }
        return found;
    }

    long[] steps() {
        return steps;
    }

    long[] groups() {
        return groups;
    }

    /** {@return the part of the first segment; those before it are empty} */
    int firstPart() {
        return order.segments().getFirst().part();
    }

    /** {@return whether sums of parts are added} */
    boolean hasParts() {
        return order.segments().getLast().part() > 0;
    }

    /** {@return whether a segment goes on from one group to the next} */
    boolean hasWholes() {
        return wholes;
    }
}
