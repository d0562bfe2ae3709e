package dev.nibble.backend.cpu;

import dev.nibble.host.HostTensor;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.random.RandomStream;
import dev.nibble.reference.BlockMetric;
import dev.nibble.reference.GroupScale;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import java.util.Arrays;

/** Rounds the elements of a matrix to codes, block rows shared among threads. */
final class BlockRounding {
    private static final int TASK_ELEMENTS = 1 << 15;

    private final StepContext context;
    private final Workers workers;
    private final QuantizeSpec spec;
    private final Site site;
    private final long seed;

    BlockRounding(StepScope scope, Workers workers, QuantizeSpec spec, Site site, long seed) {
        this.context = scope.context();
        this.workers = workers;
        this.spec = spec;
        this.site = site;
        this.seed = seed;
    }

    /**
     * Writes {@code round(x · multiplier)}, and 0 where the multiplier is 0.
     *
     * @param grid blocks of x
     * @param x [rows, cols]
     * @param amaxes of the blocks, in the grid's order
     * @param multipliers of the blocks, in the grid's order
     * @param codes [rows, cols]
     */
    void round(
            PlaneSpec plane,
            BlockGrid grid,
            float[] x,
            float[] amaxes,
            float[] multipliers,
            int purpose,
            HostTensor codes) {
        RandomStream stream =
                new RandomStream(seed, context.step(), context.microBatch(), site.ordinal(), spec.role(), purpose, 0);
        boolean[] plain = plainRows(plane, grid, amaxes, multipliers);
        int rowsOfTask = Math.max(1, TASK_ELEMENTS / grid.cols());
        workers.forEach(Math.ceilDiv(grid.rows(), rowsOfTask), task -> {
            float[] factors = new float[grid.cols()]; // [cols]
            int[] words = plane.rounding() == Rounding.STOCHASTIC
                    ? new int[PhiloxLanes.capacity(grid.cols())]
                    : new int[0]; // of one row
            int to = Math.min(grid.rows(), (task + 1) * rowsOfTask);
            int spreadFor = -1;
            for (int row = task * rowsOfTask; row < to; row++) {
                int blockRow = row / grid.height();
                if (blockRow != spreadFor) {
                    grid.spread(multipliers, blockRow, factors);
                    spreadFor = blockRow;
                }
                int start = row * grid.cols();
                int wordAt = words.length == 0 ? 0 : PhiloxLanes.words(stream, start, grid.cols(), words);
                if (plain[blockRow]) {
                    plainRow(plane, x, start, factors, words, wordAt, codes);
                } else {
                    vectorRow(plane, x, start, factors, words, wordAt, codes);
                }
            }
        });
    }

    /**
     * {@return the rows of blocks that the vector code would get wrong: INT8 from NaN or infinity, FP8 with
     * multiplier 0}
     */
    private static boolean[] plainRows(PlaneSpec plane, BlockGrid grid, float[] amaxes, float[] multipliers) {
        boolean[] plain = new boolean[grid.blockRows()];
        boolean integer = plane.format().family() == DType.Family.INTEGER;
        for (int blockRow = 0; blockRow < grid.blockRows(); blockRow++) {
            for (int blockCol = 0; blockCol < grid.blockCols(); blockCol++) {
                int group = grid.group(blockRow, blockCol);
                plain[blockRow] |= integer ? !Float.isFinite(amaxes[group]) : multipliers[group] == 0;
            }
        }
        return plain;
    }

    private static void plainRow(
            PlaneSpec plane, float[] x, int start, float[] factors, int[] words, int wordAt, HostTensor codes) {
        for (int col = 0; col < factors.length; col++) {
            float u = words.length == 0 ? 0 : RandomStream.fromWord(words[wordAt + col]);
            if (factors[col] == 0) {
                CodeWriter.one(codes, start + col, 0, plane.rounding(), 0);
            } else {
                CodeWriter.one(codes, start + col, x[start + col] * factors[col], plane.rounding(), u);
            }
        }
    }

    private static void vectorRow(
            PlaneSpec plane, float[] x, int start, float[] factors, int[] words, int wordAt, HostTensor codes) {
        int cols = factors.length;
        switch (plane.format()) {
            case INT8 -> {
                if (plane.rounding() == Rounding.STOCHASTIC) {
                    CodeWriter.stochastic(x, start, cols, factors, 0, words, wordAt, codes.bytes(), start);
                } else {
                    CodeWriter.nearest(x, start, cols, factors, 0, codes.bytes(), start);
                }
            }
            case E4M3, E5M2 -> CodeWriter.fp8(plane.format(), x, start, cols, factors, 0, codes.bytes(), start);
            case BF16 -> CodeWriter.bf16(x, start, cols, codes.shorts(), start); // unscaled: the factors are 1
            case FP16 -> plainRow(plane, x, start, factors, words, wordAt, codes);
            case FP32, INT4, UINT4, E3M0, E4M0, INT32 ->
                throw new IllegalStateException(plane.format().label() + " is not rounded to");
        }
    }

    /**
     * Rounds what a first plane leaves over, {@code fma(-scale, code, x)}, in the flagged blocks; writes 0 elsewhere.
     *
     * @param plane the residual plane
     * @param grid blocks of x
     * @param x [rows, cols]
     * @param amaxes of the blocks of x
     * @param first codes of the first plane, [rows, cols]
     * @param firstScales of the blocks; empty if unscaled
     * @param threshold above which a block is flagged
     * @param codes [rows, cols]
     * @param scales of the blocks, written
     * @param mask of the blocks, 0 or 1, written
     */
    void roundResidual(
            PlaneSpec plane,
            BlockGrid grid,
            float[] x,
            float[] amaxes,
            HostTensor first,
            float[] firstScales,
            float threshold,
            HostTensor codes,
            float[] scales,
            byte[] mask) {
        workers.forEach(grid.blockRows(), blockRow -> {
            for (int blockCol = 0; blockCol < grid.blockCols(); blockCol++) {
                int group = grid.group(blockRow, blockCol);
                boolean flagged = BlockMetric.flagged(amaxes[group], threshold);
                mask[group] = (byte) (flagged ? 1 : 0);
                float scale = firstScales.length == 0 ? 1 : firstScales[group];
                GroupScale residual = flagged
                        ? roundBlock(plane, grid, blockRow, blockCol, x, first, scale, codes)
                        : zeroBlock(grid, blockRow, blockCol, codes);
                scales[group] = residual.scale();
            }
        });
    }

    private static GroupScale zeroBlock(BlockGrid grid, int blockRow, int blockCol, HostTensor codes) {
        for (int row = grid.rowFrom(blockRow); row < grid.rowTo(blockRow); row++) {
            int from = row * grid.cols() + grid.colFrom(blockCol);
            zero(codes, from, row * grid.cols() + grid.colTo(blockCol));
        }
        return new GroupScale(0, 0);
    }

    private static void zero(HostTensor codes, int from, int to) {
        if (codes.dtype().bits() == 8) {
            Arrays.fill(codes.bytes(), from, to, (byte) 0);
        } else {
            Arrays.fill(codes.shorts(), from, to, (short) 0);
        }
    }

    private static GroupScale roundBlock(
            PlaneSpec plane,
            BlockGrid grid,
            int blockRow,
            int blockCol,
            float[] x,
            HostTensor first,
            float scale,
            HostTensor codes) {
        int width = grid.colTo(blockCol) - grid.colFrom(blockCol);
        int height = grid.rowTo(blockRow) - grid.rowFrom(blockRow);
        float[] rest = new float[Math.multiplyExact(height, width)]; // [height, width]
        for (int i = 0; i < height; i++) {
            int from = (grid.rowFrom(blockRow) + i) * grid.cols() + grid.colFrom(blockCol);
            CodeReader.read(first, from, width, rest, i * width);
            for (int j = 0; j < width; j++) {
                rest[i * width + j] = Math.fma(-scale, rest[i * width + j], x[from + j]);
            }
        }
        float largest = Float.intBitsToFloat(BlockAmax.rectangle(rest, 0, width, height, width));
        GroupScale residual = GroupScale.residual(plane.format(), largest);
        if (residual.multiplier() == 0) {
            zeroBlock(grid, blockRow, blockCol, codes);
            return residual;
        }
        float[] factors = new float[width]; // [width]
        Arrays.fill(factors, residual.multiplier());
        for (int i = 0; i < height; i++) {
            int to = (grid.rowFrom(blockRow) + i) * grid.cols() + grid.colFrom(blockCol);
            if (plane.format() == DType.INT8) {
                CodeWriter.nearest(rest, i * width, width, factors, 0, codes.bytes(), to);
            } else {
                for (int j = 0; j < width; j++) {
                    CodeWriter.one(codes, to + j, rest[i * width + j] * factors[j], plane.rounding(), 0);
                }
            }
        }
        return residual;
    }
}
