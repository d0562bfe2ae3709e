package dev.nibble.backend.cpu;

import dev.nibble.gemm.Arithmetic;
import dev.nibble.gemm.Epilogue;
import java.util.Arrays;
import java.util.List;

/**
 * Computes areas of D. For each block of the contraction, the area's panels of A are packed and stay in the L2 cache;
 * each panel of B stays in the L1 cache while all of them meet it.
 *
 * @param order parts, segments and blocks of the contraction
 * @param arithmetic of the operands
 * @param planesA planes of A, one for each term
 * @param planesB packed planes of B, one for each term
 * @param out where the sums go
 */
record BlockProduct(
        SumOrder order, Arithmetic arithmetic, List<OperandPlane> planesA, List<PackedPlane> planesB, Result out) {
    private static final int HEIGHT = TileKernel.HEIGHT;
    private static final int WIDTH = TileKernel.WIDTH;
    private static final int TILE = TileKernel.TILE;
    private static final float[] ZEROS = new float[TILE]; // a tile

    /**
     * Where a product goes.
     *
     * @param d [M, N], row-major
     * @param rows M
     * @param columns N
     * @param firstColumn column of D of the first packed row of B
     * @param endColumn end of the packed rows of B in D
     * @param epilogue what happens to the sum
     * @param continues whether the sum goes on from what D holds; there is one part then
     */
    record Result(
            float[] d, int rows, int columns, int firstColumn, int endColumn, Epilogue epilogue, boolean continues) {}

    /**
     * Tiles of D.
     *
     * @param fromRow first tile down the rows
     * @param toRow end, exclusive
     * @param fromColumn first tile along the columns
     * @param toColumn end, exclusive
     */
    record Area(int fromRow, int toRow, int fromColumn, int toColumn) {
        int tiles() {
            return (toRow - fromRow) * (toColumn - fromColumn);
        }
    }

    /**
     * Working memory of one thread.
     *
     * @param acc of the part, [tiles of the area]
     * @param total of the parts before, [tiles of the area]; empty if there is one part
     * @param whole exact sums of a segment of several blocks, [tiles of the area], zero between uses; empty if there
     *     is none
     * @param tile one tile
     * @param panels of A, for the rows of the area and one block, [tile][k][8]
     * @param stage working memory of the packing
     */
    record Buffers(float[] acc, float[] total, int[] whole, float[] tile, float[] panels, float[] stage) {}

    void run(Area area, Buffers buffers) {
        Arrays.fill(buffers.acc(), 0, area.tiles() * TILE, 0f);
        if (out.continues()) {
            forEachRow(area, (at, to, width) -> System.arraycopy(out.d(), to, buffers.acc(), at, width));
        }
        int part = 0;
        for (SumOrder.Segment segment : order.segments()) {
            if (segment.part() != part) {
                addPart(area, buffers, part);
                part = segment.part();
            }
            for (int term = 0; term < planesA.size(); term++) {
                OperandPlane a = planesA.get(term);
                PackedPlane b = planesB.get(term);
                for (int block = segment.firstBlock(); block < segment.endBlock(); block++) {
                    addBlock(a, b, block, area, buffers);
                }
            }
        }
        float[] sum = buffers.acc();
        if (part > 0) {
            addPart(area, buffers, part);
            sum = buffers.total();
        }
        float[] result = sum;
        forEachRow(area, (at, to, width) -> storeRow(result, at, to, width));
    }

    private static void addPart(Area area, Buffers buffers, int part) {
        int length = area.tiles() * TILE;
        float[] acc = buffers.acc();
        float[] total = buffers.total();
        for (int i = 0; i < length; i++) {
            total[i] = part == 0 ? acc[i] : total[i] + acc[i];
            acc[i] = 0;
        }
    }

    private void addBlock(OperandPlane a, PackedPlane b, int blockIndex, Area area, Buffers buffers) {
        SumOrder.Block block = order.blocks().get(blockIndex);
        a.pack(block, area.fromRow(), area.toRow(), buffers.panels(), 0, buffers.stage());
        int at = 0;
        for (int column = area.fromColumn(); column < area.toColumn(); column++) {
            if (b.plane().state(block.segment(), column) == SpreadScales.ABSENT) {
                at += TILE * (area.toRow() - area.fromRow());
                continue;
            }
            for (int row = area.fromRow(); row < area.toRow(); row++, at += TILE) {
                if (a.state(block.segment(), row) != SpreadScales.ABSENT) {
                    addTile(
                            a,
                            b,
                            blockIndex,
                            row,
                            column,
                            (row - area.fromRow()) * HEIGHT * block.length(),
                            at,
                            buffers);
                }
            }
        }
    }

    private void addTile(
            OperandPlane a, PackedPlane b, int blockIndex, int row, int column, int panelA, int at, Buffers buffers) {
        SumOrder.Block block = order.blocks().get(blockIndex);
        SumOrder.Segment segment = order.segments().get(block.segment());
        int panelB = b.panelAt(block, column);
        float[] acc = buffers.acc();
        if (arithmetic == Arithmetic.FLOAT) {
            TileKernel.chain(buffers.panels(), panelA, b.values, panelB, block.length(), acc, at, acc, at);
            return;
        }
        float[] tile = buffers.tile();
        TileKernel.chain(buffers.panels(), panelA, b.values, panelB, block.length(), ZEROS, 0, tile, 0);
        if (segment.endBlock() - segment.firstBlock() > 1) {
            TileKernel.addWhole(tile, buffers.whole(), at);
            if (blockIndex < segment.endBlock() - 1) {
                return;
            }
            TileKernel.takeWhole(buffers.whole(), at, tile);
        }
        int gridA = a.gridAt(block.segment(), row);
        int gridB = b.plane().gridAt(block.segment(), column);
        boolean full = a.state(block.segment(), row) == SpreadScales.FULL
                && b.plane().state(block.segment(), column) == SpreadScales.FULL;
        if (full) {
            TileKernel.fold(tile, acc, at, a.grid, gridA, b.plane().grid, gridB);
        } else {
            foldPresent(a, gridA, b.plane(), gridB, tile, acc, at);
        }
    }

    private static void foldPresent(
            OperandPlane a, int gridA, OperandPlane b, int gridB, float[] tile, float[] acc, int at) {
        for (int i = 0; i < HEIGHT; i++) {
            if (a.present(gridA + i)) {
                for (int j = 0; j < WIDTH; j++) {
                    if (b.present(gridB + j)) {
                        int element = i * WIDTH + j;
                        float scale = a.grid[gridA + i] * b.grid[gridB + j];
                        acc[at + element] = Math.fma(scale, tile[element], acc[at + element]);
                    }
                }
            }
        }
    }

    /** A row of a tile: where it is in a buffer and in D, and how many columns of it are in D. */
    @FunctionalInterface
    private interface TileRow {
        void at(int at, int to, int width);
    }

    private void forEachRow(Area area, TileRow action) {
        int at = 0;
        for (int column = area.fromColumn(); column < area.toColumn(); column++) {
            int first = out.firstColumn() + column * WIDTH;
            int width = Math.min(WIDTH, out.endColumn() - first);
            for (int row = area.fromRow(); row < area.toRow(); row++, at += TILE) {
                int top = row * HEIGHT;
                int height = Math.min(HEIGHT, out.rows() - top);
                for (int i = 0; i < height; i++) {
                    action.at(at + i * WIDTH, (top + i) * out.columns() + first, width);
                }
            }
        }
    }

    private void storeRow(float[] sum, int at, int to, int width) {
        float[] d = out.d();
        if (out.epilogue() == Epilogue.STORE) {
            System.arraycopy(sum, at, d, to, width);
            return;
        }
        for (int i = 0; i < width; i++) {
            d[to + i] += sum[at + i];
        }
    }
}
