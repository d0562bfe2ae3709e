package dev.nibble.backend.cpu;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorSpecies;

/**
 * Small matrix products on one array: {@code C[r][c] = fma(A[r][i], B[i][c], C[r][c])}, i ascending, four rows at a
 * time. Each element is one chain, whatever the vector length, and may be continued by a later call.
 */
// The two inner kernels are longer than a method should be, for the compiler's sake. An accumulator is only ever the
// argument of fma: as the receiver it may stay boxed. And methods of this size (above 325 bytes of code) are compiled
// alone: inlined into their callers, they fill the callers' node budget, and the vectors of what no longer fits are
// boxed, ten times slower. For the same reason they are two: one method with both kernels does not fit itself.
final class PanelKernel {
    /** Rows of C that one call computes. */
    static final int ROWS = 4;

    private static final VectorSpecies<Float> SPECIES = VectorExp.SPECIES;
    private static final int LANES = SPECIES.length();
    private static final int WIDE = 4 * LANES; // columns of C that 16 accumulators hold
    private static final int NARROW = 2 * LANES; // columns of C that 8 accumulators hold

    private PanelKernel() {}

    /**
     * A matrix inside the array.
     *
     * @param at index of its first element
     * @param rowStride from row to row
     * @param colStride from column to column; 1 for B and C
     */
    record Panel(int at, int rowStride, int colStride) {
        static Panel of(int at, int rowStride) {
            return new Panel(at, rowStride, 1);
        }

        /** {@return index of an element} */
        int index(int row, int col) {
            return at + row * rowStride + col * colStride;
        }

        /** {@return the part from this element on} */
        Panel from(int row, int col) {
            return new Panel(index(row, col), rowStride, colStride);
        }

        /** {@return the same memory with rows as columns} */
        Panel transposed() {
            return new Panel(at, colStride, rowStride);
        }
    }

    /**
     * Adds A · B to four rows of C.
     *
     * @param m the array
     * @param a [4, depth]
     * @param b [depth, cols]
     * @param c [4, cols]
     * @param cols rounded up to pairs of vectors, which B and C have room for
     */
    static void multiply(float[] m, Panel a, Panel b, Panel c, int depth, int cols) {
        int col = 0;
        for (; col + WIDE <= cols; col += WIDE) {
            wide(m, a, b.index(0, col), b.rowStride(), c.index(0, col), c.rowStride(), depth);
        }
        for (; col < cols; col += NARROW) {
            narrow(m, a, b.index(0, col), b.rowStride(), c.index(0, col), c.rowStride(), depth);
        }
    }

    private static void wide(float[] m, Panel a, int b, int bRow, int c, int cRow, int depth) {
        int aRow = a.rowStride();
        int aCol = a.colStride();
        int to1 = c + cRow;
        int to2 = to1 + cRow;
        int to3 = to2 + cRow;
        FloatVector c00 = load(m, c);
        FloatVector c01 = load(m, c + LANES);
        FloatVector c02 = load(m, c + 2 * LANES);
        FloatVector c03 = load(m, c + 3 * LANES);
        FloatVector c10 = load(m, to1);
        FloatVector c11 = load(m, to1 + LANES);
        FloatVector c12 = load(m, to1 + 2 * LANES);
        FloatVector c13 = load(m, to1 + 3 * LANES);
        FloatVector c20 = load(m, to2);
        FloatVector c21 = load(m, to2 + LANES);
        FloatVector c22 = load(m, to2 + 2 * LANES);
        FloatVector c23 = load(m, to2 + 3 * LANES);
        FloatVector c30 = load(m, to3);
        FloatVector c31 = load(m, to3 + LANES);
        FloatVector c32 = load(m, to3 + 2 * LANES);
        FloatVector c33 = load(m, to3 + 3 * LANES);
        int at = a.at();
        int bt = b;
        for (int i = 0; i < depth; i++) {
            FloatVector b0 = load(m, bt);
            FloatVector b1 = load(m, bt + LANES);
            FloatVector b2 = load(m, bt + 2 * LANES);
            FloatVector b3 = load(m, bt + 3 * LANES);
            FloatVector a0 = all(m[at]);
            c00 = a0.fma(b0, c00);
            c01 = a0.fma(b1, c01);
            c02 = a0.fma(b2, c02);
            c03 = a0.fma(b3, c03);
            FloatVector a1 = all(m[at + aRow]);
            c10 = a1.fma(b0, c10);
            c11 = a1.fma(b1, c11);
            c12 = a1.fma(b2, c12);
            c13 = a1.fma(b3, c13);
            FloatVector a2 = all(m[at + 2 * aRow]);
            c20 = a2.fma(b0, c20);
            c21 = a2.fma(b1, c21);
            c22 = a2.fma(b2, c22);
            c23 = a2.fma(b3, c23);
            FloatVector a3 = all(m[at + 3 * aRow]);
            c30 = a3.fma(b0, c30);
            c31 = a3.fma(b1, c31);
            c32 = a3.fma(b2, c32);
            c33 = a3.fma(b3, c33);
            at += aCol;
            bt += bRow;
        }
        c00.intoArray(m, c);
        c01.intoArray(m, c + LANES);
        c02.intoArray(m, c + 2 * LANES);
        c03.intoArray(m, c + 3 * LANES);
        c10.intoArray(m, to1);
        c11.intoArray(m, to1 + LANES);
        c12.intoArray(m, to1 + 2 * LANES);
        c13.intoArray(m, to1 + 3 * LANES);
        c20.intoArray(m, to2);
        c21.intoArray(m, to2 + LANES);
        c22.intoArray(m, to2 + 2 * LANES);
        c23.intoArray(m, to2 + 3 * LANES);
        c30.intoArray(m, to3);
        c31.intoArray(m, to3 + LANES);
        c32.intoArray(m, to3 + 2 * LANES);
        c33.intoArray(m, to3 + 3 * LANES);
    }

    private static void narrow(float[] m, Panel a, int b, int bRow, int c, int cRow, int depth) {
        int aRow = a.rowStride();
        int aCol = a.colStride();
        int to1 = c + cRow;
        int to2 = to1 + cRow;
        int to3 = to2 + cRow;
        FloatVector c00 = load(m, c);
        FloatVector c01 = load(m, c + LANES);
        FloatVector c10 = load(m, to1);
        FloatVector c11 = load(m, to1 + LANES);
        FloatVector c20 = load(m, to2);
        FloatVector c21 = load(m, to2 + LANES);
        FloatVector c30 = load(m, to3);
        FloatVector c31 = load(m, to3 + LANES);
        int at = a.at();
        int bt = b;
        for (int i = 0; i < depth; i++) {
            FloatVector b0 = load(m, bt);
            FloatVector b1 = load(m, bt + LANES);
            FloatVector a0 = all(m[at]);
            c00 = a0.fma(b0, c00);
            c01 = a0.fma(b1, c01);
            FloatVector a1 = all(m[at + aRow]);
            c10 = a1.fma(b0, c10);
            c11 = a1.fma(b1, c11);
            FloatVector a2 = all(m[at + 2 * aRow]);
            c20 = a2.fma(b0, c20);
            c21 = a2.fma(b1, c21);
            FloatVector a3 = all(m[at + 3 * aRow]);
            c30 = a3.fma(b0, c30);
            c31 = a3.fma(b1, c31);
            at += aCol;
            bt += bRow;
        }
        c00.intoArray(m, c);
        c01.intoArray(m, c + LANES);
        c10.intoArray(m, to1);
        c11.intoArray(m, to1 + LANES);
        c20.intoArray(m, to2);
        c21.intoArray(m, to2 + LANES);
        c30.intoArray(m, to3);
        c31.intoArray(m, to3 + LANES);
    }

    /** {@code m[to + i] = fma(factor, m[from + i], m[to + i])}: one step of the chains of one row. */
    static void addScaled(float[] m, float factor, int from, int to, int length) {
        for (int i = 0; i < length; i += LANES) {
            all(factor).fma(load(m, from + i), load(m, to + i)).intoArray(m, to + i);
        }
    }

    private static FloatVector load(float[] m, int at) {
        return FloatVector.fromArray(SPECIES, m, at);
    }

    private static FloatVector all(float value) {
        return FloatVector.broadcast(SPECIES, value);
    }
}
