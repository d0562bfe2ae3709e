package dev.nibble.backend.cpu;

import dev.nibble.quant.PlaneSource;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.ScaleRule;
import dev.nibble.reference.GroupScale;
import java.util.Arrays;
import java.util.Optional;

/**
 * Measures and rounds the blocks of a plane in one pass over the matrix: a strip of whole blocks at a time, which is still in
 * the L2 cache when it is read again. For rules whose scale needs the block alone.
 */
final class StripRounding {
    private static final int STRIP_ELEMENTS = 1 << 16; // 256 KiB: with the next strip, a quarter of an L2 cache

    private final PlaneSpec plane;
    private final PlaneRounding rounding;
    private final BlockGrid grid;
    private final float[] x; // [rows, cols]
    private final Optional<NativeRounding> library;
    private final float[] amaxes; // in the grid's order
    private final float[] multipliers; // in the grid's order
    private final float[] scales; // in the grid's order; empty if unscaled

    /**
     * Rounds a plane.
     *
     * @param rounding of the plane
     * @param grid blocks of x
     * @param x [rows, cols]
     */
    StripRounding(QuantizeCall call, PlaneRounding rounding, BlockGrid grid, float[] x) {
        this.plane = rounding.plane();
        this.rounding = rounding;
        this.grid = grid;
        this.x = x;
        this.library = NativeRounding.of(call.kernels(), rounding, grid, 1);
        this.amaxes = new float[grid.groups()];
        this.multipliers = new float[grid.groups()];
        this.scales = new float[plane.scaleRule() instanceof ScaleRule.Unit ? 0 : grid.groups()];
        if (library.isEmpty()) {
            MatrixRounding.clearRowEnds(rounding);
        }
        forEachStrip(call.workers());
    }

    /** {@return whether a plane's blocks can be rounded one by one, and are small enough to stay in the cache} */
    static boolean takes(PlaneSpec plane, BlockGrid grid) {
        return plane.source() instanceof PlaneSource.Value
                && plane.format().bits() <= 8
                && !plane.scaleRule().needsWholeTensor()
                && fits(grid);
    }

    /** {@return whether a block is no longer than a strip} */
    static boolean fits(BlockGrid grid) {
        return (long) grid.height() * grid.width() <= STRIP_ELEMENTS;
    }

    /** {@return amax of each block, in the grid's order} */
    float[] amaxes() {
        return amaxes;
    }

    /** {@return scales of the blocks, in the grid's order; empty if unscaled} */
    float[] scales() {
        return scales;
    }

    private void forEachStrip(Workers workers) {
        int wide = Math.clamp(STRIP_ELEMENTS / ((long) grid.height() * grid.width()), 1, grid.blockCols()); // blocks
        long elements = (long) grid.height() * grid.width() * wide;
        int high = Math.clamp(Workers.TASK_ELEMENTS / elements, 1, grid.blockRows()); // blocks
        workers.forEach(Math.ceilDiv(grid.blockRows(), high), task -> {
            int blockRow = task * high;
            int row = grid.rowFrom(blockRow);
            int endRow = grid.rowTo(Math.min(grid.blockRows(), blockRow + high) - 1);
            for (int blockCol = 0; blockCol < grid.blockCols(); blockCol += wide) {
                int col = grid.colFrom(blockCol);
                int endCol = grid.colTo(Math.min(grid.blockCols(), blockCol + wide) - 1);
                strip(new NativeRounding.Area(row, col, endRow - row, endCol - col));
            }
        });
    }

    private void strip(NativeRounding.Area area) {
        if (library.isPresent()) {
            library.get().measure(x, area, amaxes);
            scale(area);
            library.get()
                    .round(
                            x,
                            area.row() * grid.cols() + area.col(),
                            grid.cols(),
                            area,
                            multipliers,
                            area.col() + area.cols() < grid.cols() ? area.cols() : 0);
        } else {
            BlockAmax.area(grid, x, area, amaxes);
            round(area, scale(area));
        }
    }

    /** {@return whether each scaled element is a number, infinity included} */
    private boolean scale(NativeRounding.Area area) {
        boolean numbers = true;
        for (int row = area.row(); row < area.row() + area.rows(); row += grid.height()) {
            for (int col = area.col(); col < area.col() + area.cols(); col += grid.width()) {
                int group = grid.group(row / grid.height(), col / grid.width());
                GroupScale scale = GroupScale.of(plane.scaleRule(), plane.format(), amaxes[group]);
                multipliers[group] = scale.multiplier();
                if (scales.length > 0) {
                    scales[group] = scale.scale();
                }
                numbers &= PlaneScales.isNumber(scale, amaxes[group]);
            }
        }
        return numbers;
    }

    private void round(NativeRounding.Area area, boolean numbers) {
        StretchRounder rounder = new StretchRounder(rounding, 1, numbers);
        float[] spread = new float[area.cols()]; // multipliers of a row
        for (int row = area.row(); row < area.row() + area.rows(); row++) {
            if (row % grid.height() == 0) {
                spread(area, row / grid.height(), spread);
            }
            rounder.round(x, row * grid.cols() + area.col(), area.cols(), spread, 0, row, area.col());
        }
    }

    /** Writes the multiplier of each of the area's columns in one row of blocks. */
    private void spread(NativeRounding.Area area, int blockRow, float[] out) {
        for (int col = 0; col < out.length; col += grid.width()) {
            float multiplier = multipliers[grid.group(blockRow, (area.col() + col) / grid.width())];
            Arrays.fill(out, col, Math.min(out.length, col + grid.width()), multiplier);
        }
    }
}
