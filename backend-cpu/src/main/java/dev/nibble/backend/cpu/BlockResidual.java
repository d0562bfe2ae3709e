package dev.nibble.backend.cpu;

import dev.nibble.host.HostTensor;
import dev.nibble.quant.Criterion;
import dev.nibble.quant.PlaneSource;
import dev.nibble.reference.BlockMetric;
import dev.nibble.reference.GroupScale;
import dev.nibble.reference.LaneSum;
import dev.nibble.tensor.DType;
import java.util.Arrays;
import java.util.Optional;

/**
 * What a first plane leaves over, {@code fma(-scale, code, x)}: measured and rounded block by block, rows of blocks shared
 * among threads. It is computed anew where it is needed, a row of a block at a time, and never stored.
 *
 * @param call gives threads and the library
 * @param grid blocks of x
 * @param x [rows, cols]
 * @param amaxes of the blocks of x, in the grid's order
 * @param codes of the first plane, [rows, cols]
 * @param scales of its blocks, in the grid's order; empty if unscaled
 */
record BlockResidual(QuantizeCall call, BlockGrid grid, float[] x, float[] amaxes, HostTensor codes, float[] scales) {
    /** {@return the metric of each block, in the grid's order: {@link BlockMetric#of}} */
    float[] metric(Criterion criterion) {
        if (criterion == Criterion.ABSMAX) {
            return amaxes;
        }
        boolean relative = criterion == Criterion.L1_RELATIVE;
        float[] metric = new float[grid.groups()]; // in the grid's order
        forEachRun((from, to) -> {
            float[] rest = new float[grid.width()]; // of one row of a block
            float[] errors = new float[grid.height()]; // [rows of the block]
            float[] sizes = new float[relative ? grid.height() : 0]; // [rows of the block]
            for (int blockRow = from; blockRow < to; blockRow++) {
                for (int blockCol = 0; blockCol < grid.blockCols(); blockCol++) {
                    metric[grid.group(blockRow, blockCol)] = metric(blockRow, blockCol, rest, errors, sizes);
                }
            }
        });
        return metric;
    }

    private float metric(int blockRow, int blockCol, float[] rest, float[] errors, float[] sizes) {
        int height = grid.rowTo(blockRow) - grid.rowFrom(blockRow);
        int col = grid.colFrom(blockCol);
        int width = grid.colTo(blockCol) - col;
        for (int i = 0; i < height; i++) {
            int row = grid.rowFrom(blockRow) + i;
            rest(row, col, width, grid.group(blockRow, blockCol), rest);
            errors[i] = LaneSums.magnitudes(rest, 0, width);
            if (sizes.length > 0) {
                sizes[i] = LaneSums.magnitudes(x, row * grid.cols() + col, width);
            }
        }
        float error = LaneSum.sum(errors, 0, height);
        if (sizes.length == 0) {
            return error;
        }
        float size = LaneSum.sum(sizes, 0, height);
        return size == 0 ? 0 : error / size;
    }

    /** {@return 1 for each block that falls back, else 0} */
    byte[] mask(float[] metric, float threshold) {
        byte[] mask = new byte[grid.groups()]; // in the grid's order
        for (int group = 0; group < mask.length; group++) {
            mask[group] = (byte) (BlockMetric.flagged(metric[group], threshold, amaxes[group]) ? 1 : 0);
        }
        return mask;
    }

    /**
     * Rounds what is left over in the blocks that fall back; all other codes are 0: {@link PlaneSource.Residual}.
     *
     * @param rounding of the residual plane
     * @param format of its codes
     * @param mask which blocks fall back, in the grid's order
     * @return scales of the blocks, in the grid's order
     */
    float[] round(PlaneRounding rounding, DType format, byte[] mask) {
        float[] own = new float[grid.groups()]; // in the grid's order
        Optional<NativeRounding> library =
                NativeRounding.of(call.kernels(), rounding, grid, 1).filter(_ -> NativeRest.takes(grid, codes));
        try (var scratch = new ThreadScratch(
                call.memory(), call.workers().threads(), library.isPresent() ? grid.height() * grid.width() : 0)) {
            forEachRun((from, to) -> scratch.lend(d -> {
                clear(rounding, from, to);
                Rounder block = library.isPresent()
                        ? new NativeRest(library.get(), this, format, d)
                        : new Block(rounding, format);
                for (int blockRow = from; blockRow < to; blockRow++) {
                    for (int blockCol = 0; blockCol < grid.blockCols(); blockCol++) {
                        int group = grid.group(blockRow, blockCol);
                        own[group] = mask[group] == 0 ? 0 : block.round(blockRow, blockCol);
                    }
                }
            }));
        }
        return own;
    }

    /** Writes code 0 to some rows of blocks. */
    private void clear(PlaneRounding rounding, int from, int to) {
        HostTensor residual = rounding.codes().getFirst();
        long pitch = residual.dtype().pitch(grid.cols());
        int rowBytes = (int) (residual.dtype().packed() ? pitch / 2 : pitch);
        Arrays.fill(residual.bytes(), grid.rowFrom(from) * rowBytes, grid.rowTo(to - 1) * rowBytes, (byte) 0);
    }

    /** Rounds what a block leaves over. */
    @FunctionalInterface
    interface Rounder {
        /** {@return the scale of the block; 0 if nothing is left over} */
        float round(int blockRow, int blockCol);
    }

    /** Passes over runs of rows of blocks. */
    private void forEachRun(Workers.RowRun body) {
        call.workers().forEachRun(grid.blockRows(), Math.multiplyExact(grid.height(), grid.cols()), body);
    }

    private void rest(int row, int col, int count, int group, float[] out) {
        int pitch = (int) codes.dtype().pitch(grid.cols());
        CodeReader.read(codes, row * pitch + col, count, out, 0);
        ScaleLanes.rest(x, row * grid.cols() + col, count, scales.length == 0 ? 1 : scales[group], out);
    }

    /** Rounds blocks one after the other. */
    private final class Block implements Rounder {
        private final DType format;
        private final StretchRounder rounder;
        private final float[] rest = new float[grid.width()]; // of one row of a block
        private final float[] multipliers = new float[grid.width()]; // of one row of a block

        Block(PlaneRounding rounding, DType format) {
            this.format = format;
            this.rounder = new StretchRounder(rounding, 1, true);
        }

        @Override
        public float round(int blockRow, int blockCol) {
            int group = grid.group(blockRow, blockCol);
            int from = grid.colFrom(blockCol);
            int width = grid.colTo(blockCol) - from;
            int largest = 0; // bits of max|d|
            for (int row = grid.rowFrom(blockRow); row < grid.rowTo(blockRow); row++) {
                rest(row, from, width, group, rest);
                largest = Math.max(largest, BlockAmax.rectangle(rest, 0, width, 1, width));
            }
            GroupScale scale = GroupScale.residual(format, Float.intBitsToFloat(largest));
            if (scale.multiplier() == 0) {
                return 0;
            }
            Arrays.fill(multipliers, scale.multiplier());
            for (int row = grid.rowFrom(blockRow); row < grid.rowTo(blockRow); row++) {
                rest(row, from, width, group, rest);
                rounder.round(rest, 0, width, multipliers, 0, row, from);
            }
            return scale.scale();
        }
    }
}
