package dev.nibble.backend.cpu;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorSpecies;

/**
 * The innermost loops of a product: one tile of 8 rows by two vectors, held in 16 vector registers.
 *
 * <p>A panel of A is [k][8], a panel of B [k][WIDTH], a tile [8][WIDTH]; each is contiguous. Accumulators are only
 * ever the argument of a fused multiply-add, never its receiver: as a receiver C2 may keep the vector object on the
 * heap, and the loop runs ten to a hundred times slower.
 */
final class TileKernel {
    static final VectorSpecies<Float> LANES = FloatVector.SPECIES_PREFERRED;

    /** Rows of a tile. */
    static final int HEIGHT = 8;

    /** Columns of a tile. */
    static final int WIDTH = 2 * LANES.length();

    /** Elements of a tile. */
    static final int TILE = HEIGHT * WIDTH;

    private static final int HALF = LANES.length();

    private TileKernel() {}

    /**
     * Continues 8 x WIDTH chains of fused multiply-adds: {@code out = start + Σ_k a·b}, k ascending, each product
     * added with one rounding. Longer than 40 lines because the registers must be named one by one.
     *
     * @param a panel of A from {@code aAt}, [length][8]
     * @param b panel of B from {@code bAt}, [length][WIDTH]
     * @param start where the chains stand, a tile from {@code startAt}
     * @param out receives a tile from {@code outAt}; may be {@code start}
     */
    static void chain(
            float[] a, int aAt, float[] b, int bAt, int length, float[] start, int startAt, float[] out, int outAt) {
        FloatVector c00 = FloatVector.fromArray(LANES, start, startAt);
        FloatVector c01 = FloatVector.fromArray(LANES, start, startAt + HALF);
        FloatVector c10 = FloatVector.fromArray(LANES, start, startAt + WIDTH);
        FloatVector c11 = FloatVector.fromArray(LANES, start, startAt + WIDTH + HALF);
        FloatVector c20 = FloatVector.fromArray(LANES, start, startAt + 2 * WIDTH);
        FloatVector c21 = FloatVector.fromArray(LANES, start, startAt + 2 * WIDTH + HALF);
        FloatVector c30 = FloatVector.fromArray(LANES, start, startAt + 3 * WIDTH);
        FloatVector c31 = FloatVector.fromArray(LANES, start, startAt + 3 * WIDTH + HALF);
        FloatVector c40 = FloatVector.fromArray(LANES, start, startAt + 4 * WIDTH);
        FloatVector c41 = FloatVector.fromArray(LANES, start, startAt + 4 * WIDTH + HALF);
        FloatVector c50 = FloatVector.fromArray(LANES, start, startAt + 5 * WIDTH);
        FloatVector c51 = FloatVector.fromArray(LANES, start, startAt + 5 * WIDTH + HALF);
        FloatVector c60 = FloatVector.fromArray(LANES, start, startAt + 6 * WIDTH);
        FloatVector c61 = FloatVector.fromArray(LANES, start, startAt + 6 * WIDTH + HALF);
        FloatVector c70 = FloatVector.fromArray(LANES, start, startAt + 7 * WIDTH);
        FloatVector c71 = FloatVector.fromArray(LANES, start, startAt + 7 * WIDTH + HALF);
        for (int k = 0; k < length; k++) {
            int row = bAt + k * WIDTH;
            FloatVector b0 = FloatVector.fromArray(LANES, b, row);
            FloatVector b1 = FloatVector.fromArray(LANES, b, row + HALF);
            int column = aAt + k * HEIGHT;
            FloatVector a0 = FloatVector.broadcast(LANES, a[column]);
            c00 = a0.fma(b0, c00);
            c01 = a0.fma(b1, c01);
            FloatVector a1 = FloatVector.broadcast(LANES, a[column + 1]);
            c10 = a1.fma(b0, c10);
            c11 = a1.fma(b1, c11);
            FloatVector a2 = FloatVector.broadcast(LANES, a[column + 2]);
            c20 = a2.fma(b0, c20);
            c21 = a2.fma(b1, c21);
            FloatVector a3 = FloatVector.broadcast(LANES, a[column + 3]);
            c30 = a3.fma(b0, c30);
            c31 = a3.fma(b1, c31);
            FloatVector a4 = FloatVector.broadcast(LANES, a[column + 4]);
            c40 = a4.fma(b0, c40);
            c41 = a4.fma(b1, c41);
            FloatVector a5 = FloatVector.broadcast(LANES, a[column + 5]);
            c50 = a5.fma(b0, c50);
            c51 = a5.fma(b1, c51);
            FloatVector a6 = FloatVector.broadcast(LANES, a[column + 6]);
            c60 = a6.fma(b0, c60);
            c61 = a6.fma(b1, c61);
            FloatVector a7 = FloatVector.broadcast(LANES, a[column + 7]);
            c70 = a7.fma(b0, c70);
            c71 = a7.fma(b1, c71);
        }
        c00.intoArray(out, outAt);
        c01.intoArray(out, outAt + HALF);
        c10.intoArray(out, outAt + WIDTH);
        c11.intoArray(out, outAt + WIDTH + HALF);
        c20.intoArray(out, outAt + 2 * WIDTH);
        c21.intoArray(out, outAt + 2 * WIDTH + HALF);
        c30.intoArray(out, outAt + 3 * WIDTH);
        c31.intoArray(out, outAt + 3 * WIDTH + HALF);
        c40.intoArray(out, outAt + 4 * WIDTH);
        c41.intoArray(out, outAt + 4 * WIDTH + HALF);
        c50.intoArray(out, outAt + 5 * WIDTH);
        c51.intoArray(out, outAt + 5 * WIDTH + HALF);
        c60.intoArray(out, outAt + 6 * WIDTH);
        c61.intoArray(out, outAt + 6 * WIDTH + HALF);
        c70.intoArray(out, outAt + 7 * WIDTH);
        c71.intoArray(out, outAt + 7 * WIDTH + HALF);
    }

    /**
     * Folds a tile of sums into the accumulators: {@code acc = fma(sA · sB, sum, acc)}.
     *
     * @param sums a tile
     * @param acc a tile from {@code accAt}
     * @param scalesA scales of the tile's rows from {@code rowAt}, [8]
     * @param scalesB scales of the tile's columns from {@code columnAt}, [WIDTH]
     */
    static void fold(float[] sums, float[] acc, int accAt, float[] scalesA, int rowAt, float[] scalesB, int columnAt) {
        FloatVector b0 = FloatVector.fromArray(LANES, scalesB, columnAt);
        FloatVector b1 = FloatVector.fromArray(LANES, scalesB, columnAt + HALF);
        for (int i = 0; i < HEIGHT; i++) {
            FloatVector a = FloatVector.broadcast(LANES, scalesA[rowAt + i]);
            int from = i * WIDTH;
            int to = accAt + from;
            FloatVector sum0 = FloatVector.fromArray(LANES, sums, from);
            FloatVector sum1 = FloatVector.fromArray(LANES, sums, from + HALF);
            FloatVector acc0 = FloatVector.fromArray(LANES, acc, to);
            FloatVector acc1 = FloatVector.fromArray(LANES, acc, to + HALF);
            a.mul(b0).fma(sum0, acc0).intoArray(acc, to);
            a.mul(b1).fma(sum1, acc1).intoArray(acc, to + HALF);
        }
    }

    /** Adds a tile of exact whole numbers to a tile of integers from {@code totalsAt}. */
    static void addWhole(float[] sums, int[] totals, int totalsAt) {
        for (int i = 0; i < TILE; i++) {
            totals[totalsAt + i] += (int) sums[i];
        }
    }

    /** Rounds a tile of integers to FP32, and leaves zeros in its place. */
    static void takeWhole(int[] totals, int totalsAt, float[] sums) {
        for (int i = 0; i < TILE; i++) {
            sums[i] = totals[totalsAt + i];
            totals[totalsAt + i] = 0;
        }
    }
}
