package dev.nibble.backend.cuda;

import dev.nibble.gemm.Splits;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;

/**
 * The struct {@code Product} of gemm.cuh, which all product kernels take. One object serves all launches: a launch copies it.
 */
final class ProductArguments {
    /** Terms that fit. */
    static final int MOST_TERMS = 16;

    /** Passes that fit. */
    static final int MOST_PASSES = 64;

    private static final long PLANE = 48; // bytes of a struct Plane
    private static final long PASS = 24; // bytes of a struct Pass
    private static final long ROW_WEIGHTS = 88; // offsets within the struct
    private static final long ROWS = 96;
    private static final long STRETCHES = 112;
    private static final long CARRY = 120;
    private static final long OUT = 128;
    private static final long STRETCH_COUNT = 136;
    private static final long PARTS = 140;
    private static final long TERMS = 144;
    private static final long PASSES = 148;
    private static final long ADD = 152;
    private static final long FIRST = 156;
    private static final long TERM = 160;
    private static final long FIRST_PASS = TERM + MOST_TERMS * 2 * PLANE;
    private static final long BYTES = FIRST_PASS + MOST_PASSES * PASS;

    private final MemorySegment struct = Arena.ofAuto().allocate(BYTES, Long.BYTES);
    private final MemorySegment plane = Arena.ofAuto().allocate(PLANE, Long.BYTES);

    /** {@return the struct, to be copied into the arguments of a launch} */
    MemorySegment struct() {
        return struct;
    }

    /** Sets shape and scale grids, and forgets all else. */
    ProductArguments shape(ProductPlan plan) {
        struct.fill((byte) 0);
        longs(
                0,
                plan.m(),
                plan.n(),
                plan.k(),
                Math.min(plan.limit(), Math.max(plan.k(), 1)),
                plan.splits().length());
        CudaPlane a = plan.a().planes().getFirst();
        CudaPlane b = plan.b().planes().getFirst();
        longs(40, a.groupRows(), a.groupK(), a.rowGroups(), b.groupRows(), b.groupK(), b.rowGroups());
        struct.set(ValueLayout.JAVA_INT, PARTS, plan.splits().parts());
        return this;
    }

    /** Takes other parts than the plan's. */
    ProductArguments splits(Splits splits) {
        longs(32, splits.length());
        struct.set(ValueLayout.JAVA_INT, PARTS, splits.parts());
        return this;
    }

    /** Sets the terms. */
    ProductArguments terms(List<PlaneTerm> terms) {
        struct.set(ValueLayout.JAVA_INT, TERMS, terms.size());
        for (int t = 0; t < terms.size(); t++) {
            write(struct.asSlice(TERM + 2L * t * PLANE, PLANE), terms.get(t).a());
            write(
                    struct.asSlice(TERM + (2L * t + 1) * PLANE, PLANE),
                    terms.get(t).b());
        }
        return this;
    }

    /** Sets the passes that bytes are multiplied in. */
    ProductArguments passes(List<BytePass> passes) {
        struct.set(ValueLayout.JAVA_INT, PASSES, passes.size());
        for (int i = 0; i < passes.size(); i++) {
            BytePass pass = passes.get(i);
            long at = FIRST_PASS + i * PASS;
            longs(at, pass.a(), pass.b());
            struct.set(ValueLayout.JAVA_INT, at + 16, pass.term());
            struct.set(ValueLayout.JAVA_INT, at + 20, pass.shift());
        }
        return this;
    }

    /** Sets the weights of rows, [terms][m]; 0: none. */
    ProductArguments rowWeights(long address) {
        longs(ROW_WEIGHTS, address);
        return this;
    }

    /** Sets the rows of D that are computed; the left plane holds no others. */
    ProductArguments rows(RowList rows) {
        longs(ROWS, rows.list(), rows.count());
        return this;
    }

    /** Sets stretches of gathered tokens. */
    ProductArguments stretches(long address, int count) {
        longs(STRETCHES, address);
        struct.set(ValueLayout.JAVA_INT, STRETCH_COUNT, count);
        return this;
    }

    /** Sets where in each part the segment of the next launch begins, and what its sums go on from; 0: nothing. */
    ProductArguments segment(long first, long carry) {
        struct.set(ValueLayout.JAVA_INT, FIRST, Math.toIntExact(first));
        longs(CARRY, carry);
        return this;
    }

    /** Sets where results go, and whether they are added. */
    ProductArguments out(long address, boolean add) {
        longs(OUT, address);
        struct.set(ValueLayout.JAVA_INT, ADD, add ? 1 : 0);
        return this;
    }

    /** {@return a struct {@code Plane} alone; the same memory every time} */
    MemorySegment plane(PlaneTerm.Side side) {
        write(plane, side);
        return plane;
    }

    private static void write(MemorySegment to, PlaneTerm.Side side) {
        to.set(ValueLayout.JAVA_LONG, 0, side.codes());
        to.set(ValueLayout.JAVA_LONG, 8, side.scales());
        to.set(ValueLayout.JAVA_LONG, 16, side.mask());
        to.set(ValueLayout.JAVA_LONG, 24, side.pitch());
        to.set(ValueLayout.JAVA_LONG, 32, side.format().bits() / Byte.SIZE);
        to.set(ValueLayout.JAVA_INT, 40, side.format().ordinal());
        to.set(ValueLayout.JAVA_FLOAT, 44, side.weight());
    }

    private void longs(long at, long... values) {
        for (int i = 0; i < values.length; i++) {
            struct.set(ValueLayout.JAVA_LONG, at + (long) i * Long.BYTES, values[i]);
        }
    }
}
