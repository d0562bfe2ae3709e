package dev.nibble.backend.cpu;

import dev.nibble.host.HostTensor;
import dev.nibble.quant.Overflow;
import dev.nibble.reference.GroupScale;
import dev.nibble.tensor.DType;

/**
 * Rounds what the first plane of a block leaves over with the native library: it is written to memory that stays in the L2
 * cache, measured on the way, and rounded from there. For one thread.
 */
final class NativeRest implements BlockResidual.Rounder {
    private static final int CALL = 10; // longs of ResidualCall in quantize.h

    private final NativeRounding rounding;
    private final BlockResidual residual;
    private final DType format;
    private final float[] d; // [rows of a block, columns of a block]
    private final float[] multipliers; // of all blocks, in the grid's order

    /**
     * Prepares a thread.
     *
     * @param format of the codes
     * @param d working memory, [elements of a block]
     */
    NativeRest(NativeRounding rounding, BlockResidual residual, DType format, float[] d) {
        this.rounding = rounding;
        this.residual = residual;
        this.format = format;
        this.d = d;
        this.multipliers = new float[residual.grid().groups()];
    }

    /** {@return whether the library reads the codes of a first plane, and a block is no longer than a strip} */
    static boolean takes(BlockGrid grid, HostTensor codes) {
        DType dtype = codes.dtype();
        return StripRounding.fits(grid) && (dtype == DType.INT8 || dtype.family() == DType.Family.FP8);
    }

    @Override
    public float round(int blockRow, int blockCol) {
        BlockGrid grid = residual.grid();
        int row = grid.rowFrom(blockRow);
        int col = grid.colFrom(blockCol);
        var area = new NativeRounding.Area(row, col, grid.rowTo(blockRow) - row, grid.colTo(blockCol) - col);
        int group = grid.group(blockRow, blockCol);
        GroupScale scale = GroupScale.residual(format, rest(area, group));
        if (scale.multiplier() == 0) {
            return 0;
        }
        multipliers[group] = scale.multiplier();
        rounding.round(d, 0, area.cols(), area, multipliers, 0);
        return scale.scale();
    }

    /** {@return max|d| of a block} */
    private float rest(NativeRounding.Area area, int group) {
        int cols = residual.grid().cols();
        DType first = residual.codes().dtype();
        long[] call = new long[CALL];
        call[0] = (long) area.row() * cols + area.col();
        call[1] = cols;
        call[2] = call[0];
        call[3] = cols;
        call[4] = area.rows();
        call[5] = area.cols();
        if (first != DType.INT8) {
            Fp8Lanes lanes = Fp8Lanes.of(first, Overflow.SATURATE);
            call[6] = lanes.mantissa();
            call[7] = lanes.bias();
        }
        call[8] = Float.floatToRawIntBits(residual.scales().length == 0 ? 1 : residual.scales()[group]);
        return rounding.rest(call, residual.x(), residual.codes().bytes(), d);
    }
}
