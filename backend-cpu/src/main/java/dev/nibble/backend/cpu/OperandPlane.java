package dev.nibble.backend.cpu;

import dev.nibble.host.HostMemory;
import dev.nibble.host.HostPlane;
import dev.nibble.host.HostTensor;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import java.util.Arrays;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorShape;
import jdk.incubator.vector.VectorSpecies;

/**
 * One plane of an operand, some of its rows, cut into tiles of a few rows: scales and presence {@code
 * [segment][paddedRows]}, and the packing of a tile's codes to a panel of FP32 values {@code [k][width]}. Rows beyond
 * the last one are 0.
 */
final class OperandPlane implements AutoCloseable {
    private static final VectorSpecies<Float> LANES = TileKernel.LANES;
    // As long as a tile of A is high, or less.
    private static final VectorSpecies<Float> NARROW =
            VectorSpecies.of(float.class, VectorShape.forBitSize(Math.min(LANES.vectorBitSize(), 256)));
    private static final int TRANSPOSED_STEP = 32;
    private static final int STAGE_PITCH = SumOrder.MAX_BLOCK + 16; // no power of two: rows spread over the cache
    private static final int LARGEST_WIDTH = Math.max(TileKernel.WIDTH, TileKernel.HEIGHT);
    /** Elements of the working memory that {@link #pack} needs. */
    static final int STAGE = LARGEST_WIDTH * STAGE_PITCH;

    private final HostPlane plane;
    private final int storedPitch; // codes from one stored row to the next
    private final int firstRow;
    private final int rows;
    private final int width;
    private final int tiles;
    private final int paddedRows;
    private final int[] turnMap; // [lanes] where in the stage the lanes of a packed vector lie
    private final HostTensor gridTensor;
    private final int presenceAt; // where presence starts in the grid
    private final byte[] states; // [segment][tile], empty if all are full

    final float[] grid; // scales [segment][paddedRows], then presence [segment][paddedRows]

    /**
     * Spreads the scales and masks of rows {@code firstRow} to {@code firstRow + rows - 1}.
     *
     * @param width rows of a tile
     */
    OperandPlane(HostMemory memory, PlaneUse use, SumOrder order, int firstRow, int rows, int width) {
        this.plane = use.plane();
        this.storedPitch = plane.pitch();
        this.firstRow = firstRow;
        this.rows = rows;
        this.width = width;
        this.tiles = Math.ceilDiv(rows, width);
        this.paddedRows = tiles * width;
        this.turnMap = new int[LANES.length()];
        for (int lane = 0; lane < turnMap.length; lane++) {
            turnMap[lane] = lane % width * STAGE_PITCH + lane / width;
        }
        boolean masked = this.plane.masked();
        long cells = (long) order.segments().size() * paddedRows;
        this.gridTensor = scratch(memory, "spread scales", masked ? 2 * cells : cells);
        this.grid = HostTensor.floats(gridTensor);
        this.presenceAt = (int) cells;
        this.states = new byte[masked ? order.segments().size() * tiles : 0];
        var spread = new SpreadScales(use, order, firstRow, rows, width);
        spread.scales(grid, 0);
        if (masked) {
            spread.mask(grid, presenceAt, states, 0);
        }
    }

    /** Few distinct lengths, so that the allocator can give the same array to a product of another shape. */
    static HostTensor scratch(HostMemory memory, String label, long length) {
        long step = Math.max(1024, Long.highestOneBit(length) / 4);
        return memory.allocate(label, DType.FP32, Shape.of(Math.ceilDiv(length, step) * step), MemoryTag.SCRATCH);
    }

    int tiles() {
        return tiles;
    }

    int paddedRows() {
        return paddedRows;
    }

    /** {@return where the scales of a tile start} */
    int gridAt(int segment, int tile) {
        return segment * paddedRows + tile * width;
    }

    /** {@return whether the row at this index of the grid has codes} */
    boolean present(int gridAt) {
        return states.length == 0 || grid[presenceAt + gridAt] != 0;
    }

    /** {@return how many rows of a tile have codes in a segment} */
    byte state(int segment, int tile) {
        return states.length == 0 ? SpreadScales.FULL : states[segment * tiles + tile];
    }

    /**
     * Packs tiles {@code from} to {@code to - 1}; those that are absent may be left out.
     *
     * @param out receives [tile][k][width] from {@code at}
     * @param stage working memory, [{@link #STAGE}]
     */
    void pack(SumOrder.Block block, int from, int to, float[] out, int at, float[] stage) {
        if (plane.transposed()) {
            packTransposed(block, from, to, out, at, stage);
            return;
        }
        for (int tile = from; tile < to; tile++) {
            if (state(block.segment(), tile) != SpreadScales.ABSENT) {
                packRows(block, tile, out, at + (tile - from) * width * block.length(), stage);
            }
        }
    }

    /** Codes lie [k, rows]: a few rows of them are read at a time, then shared out to the tiles. */
    private void packTransposed(SumOrder.Block block, int from, int to, float[] out, int at, float[] stage) {
        int pitch = (to - from) * width;
        int real = Math.min(pitch, rows - from * width);
        int step = Math.min(TRANSPOSED_STEP, STAGE / pitch);
        for (int k = 0; k < block.length(); k += step) {
            int count = Math.min(step, block.length() - k);
            for (int i = 0; i < count; i++) {
                int codesAt = (block.from() + k + i) * storedPitch + firstRow + from * width;
                CodeReader.read(plane.codes(), codesAt, real, stage, i * pitch);
                Arrays.fill(stage, i * pitch + real, (i + 1) * pitch, 0f);
            }
            for (int tile = 0; tile < to - from; tile++) {
                share(stage, tile * width, pitch, count, out, at + (tile * block.length() + k) * width);
            }
        }
    }

    private void share(float[] stage, int from, int pitch, int count, float[] out, int at) {
        if (width == NARROW.length()) {
            for (int i = 0; i < count; i++) {
                FloatVector.fromArray(NARROW, stage, from + i * pitch).intoArray(out, at + i * NARROW.length());
            }
            return;
        }
        for (int i = 0; i < count; i++) {
            System.arraycopy(stage, from + i * pitch, out, at + i * width, width);
        }
    }

    /** Codes lie [rows, k]: rows are read, then turned. */
    private void packRows(SumOrder.Block block, int tile, float[] out, int at, float[] stage) {
        int real = Math.min(width, rows - tile * width);
        for (int i = 0; i < width; i++) {
            int to = i * STAGE_PITCH;
            if (i < real) {
                int from = (firstRow + tile * width + i) * storedPitch + block.from();
                CodeReader.read(plane.codes(), from, block.length(), stage, to);
            } else {
                Arrays.fill(stage, to, to + block.length(), 0f);
            }
        }
        turn(stage, block.length(), out, at);
    }

    private void turn(float[] stage, int length, float[] out, int at) {
        int lanes = LANES.length();
        int step = Math.max(1, lanes / width); // columns of the stage that fill a vector
        int k = 0;
        for (; k <= length - step; k += step) {
            for (int i = 0; i < width; i += lanes) {
                FloatVector.fromArray(LANES, stage, i * STAGE_PITCH + k, turnMap, 0)
                        .intoArray(out, at + k * width + i);
            }
        }
        for (; k < length; k++) {
            for (int i = 0; i < width; i++) {
                out[at + k * width + i] = stage[i * STAGE_PITCH + k];
            }
        }
    }

    @Override
    public void close() {
        gridTensor.close();
    }
}
