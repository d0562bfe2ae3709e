package dev.nibble.backend.cpu;

import dev.nibble.quant.Contraction;
import dev.nibble.quant.Granularity;
import dev.nibble.reference.ScaleGrid;
import java.util.Arrays;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/**
 * max|x| of each block. Magnitudes are compared as integers, the bits of an FP32 without its sign: they have the
 * order of the values, and NaN is above infinity, so that no NaN is lost.
 */
final class BlockAmax {
    private static final VectorSpecies<Float> LANES = TileKernel.LANES;
    private static final int MAGNITUDE = 0x7FFFFFFF;

    private BlockAmax() {}

    /** {@return amax of each block, in the grid's order; NaN if an element is NaN} */
    static float[] of(Workers workers, BlockGrid grid, float[] x) {
        int blockCols = grid.blockCols();
        int rowsOfTask = Math.max(1, Workers.TASK_ELEMENTS / grid.cols());
        int height = Math.min(grid.height(), rowsOfTask); // of a piece: a block, or a part of a tall one
        int piecesOfBlock = Math.ceilDiv(grid.height(), height);
        int piecesOfTask = Math.max(1, rowsOfTask / height);
        int pieces = grid.blockRows() * piecesOfBlock;
        int[] largest = new int[Math.multiplyExact(pieces, blockCols)]; // [blockRow][piece][blockCol], bits
        workers.forEach(Math.ceilDiv(pieces, piecesOfTask), task -> {
            int to = Math.min(pieces, (task + 1) * piecesOfTask);
            for (int piece = task * piecesOfTask; piece < to; piece++) {
                int blockRow = piece / piecesOfBlock;
                int from = grid.rowFrom(blockRow) + piece % piecesOfBlock * height;
                int end = Math.min(grid.rowTo(blockRow), from + height);
                piece(grid, x, from, end, largest, piece * blockCols);
            }
        });
        float[] amaxes = new float[grid.groups()]; // in the grid's order
        for (int blockRow = 0; blockRow < grid.blockRows(); blockRow++) {
            for (int blockCol = 0; blockCol < blockCols; blockCol++) {
                int bits = 0;
                for (int piece = 0; piece < piecesOfBlock; piece++) {
                    bits = Math.max(bits, largest[(blockRow * piecesOfBlock + piece) * blockCols + blockCol]);
                }
                amaxes[grid.group(blockRow, blockCol)] = Float.intBitsToFloat(bits);
            }
        }
        return amaxes;
    }

    /** Writes amax of each block of an area of whole blocks, in the grid's order; NaN if an element is NaN. */
    static void area(BlockGrid grid, float[] x, NativeRounding.Area area, float[] amaxes) {
        int[] largest = new int[grid.width() == 1 ? area.cols() : 0]; // bits, of the columns
        for (int row = area.row(); row < area.row() + area.rows(); row += grid.height()) {
            int height = Math.min(grid.height(), grid.rows() - row);
            int blockRow = row / grid.height();
            Arrays.fill(largest, 0);
            for (int i = 0; i < height && grid.width() == 1; i++) {
                raise(x, (row + i) * grid.cols() + area.col(), area.cols(), largest, 0);
            }
            for (int col = area.col(); col < area.col() + area.cols(); col += grid.width()) {
                int width = Math.min(grid.width(), grid.cols() - col);
                int bits = grid.width() == 1
                        ? largest[col - area.col()]
                        : rectangle(x, row * grid.cols() + col, grid.cols(), height, width);
                amaxes[grid.group(blockRow, col / grid.width())] = Float.intBitsToFloat(bits);
            }
        }
    }

    /** {@return max|x| of a matrix [rows, cols]; NaN if an element is NaN} */
    static float ofMatrix(Workers workers, float[] x, int rows, int cols) {
        ScaleGrid whole = ScaleGrid.of(Contraction.COLUMNS, new Granularity.PerTensor(), rows, cols);
        return of(workers, BlockGrid.of(whole, rows, cols), x)[0];
    }

    private static void piece(BlockGrid grid, float[] x, int from, int to, int[] largest, int at) {
        int cols = grid.cols();
        if (grid.width() == 1) {
            for (int row = from; row < to; row++) {
                raise(x, row * cols, cols, largest, at);
            }
            return;
        }
        for (int blockCol = 0; blockCol < grid.blockCols(); blockCol++) {
            int width = grid.colTo(blockCol) - grid.colFrom(blockCol);
            largest[at + blockCol] = rectangle(x, from * cols + grid.colFrom(blockCol), cols, to - from, width);
        }
    }

    /** Raises each of the values to the magnitude of its element. */
    private static void raise(float[] x, int from, int count, int[] largest, int at) {
        int lanes = LANES.length();
        int i = 0;
        for (; i <= count - lanes; i += lanes) {
            IntVector old = IntVector.fromArray(IntVector.SPECIES_PREFERRED, largest, at + i);
            magnitude(x, from + i).max(old).intoArray(largest, at + i);
        }
        for (; i < count; i++) {
            largest[at + i] = Math.max(largest[at + i], Float.floatToRawIntBits(x[from + i]) & MAGNITUDE);
        }
    }

    /** {@return the bits of max|x| of a rectangle whose rows are {@code pitch} elements apart} */
    static int rectangle(float[] x, int from, int pitch, int height, int width) {
        int lanes = LANES.length();
        int whole = width - width % lanes;
        IntVector acc = IntVector.zero(IntVector.SPECIES_PREFERRED);
        int rest = 0;
        for (int row = 0; row < height; row++) {
            int start = from + row * pitch;
            for (int i = 0; i < whole; i += lanes) {
                acc = magnitude(x, start + i).max(acc);
            }
            for (int i = whole; i < width; i++) {
                rest = Math.max(rest, Float.floatToRawIntBits(x[start + i]) & MAGNITUDE);
            }
        }
        return Math.max(rest, acc.reduceLanes(VectorOperators.MAX));
    }

    private static IntVector magnitude(float[] x, int at) {
        return FloatVector.fromArray(LANES, x, at).reinterpretAsInts().and(MAGNITUDE);
    }
}
