package dev.nibble.backend.cpu;

import dev.nibble.host.HostTensor;
import dev.nibble.tensor.DType;
import java.util.Arrays;
import java.util.concurrent.atomic.LongAdder;

/** Rounds all elements of a matrix, its rows shared among threads. */
final class MatrixRounding {
    private final Workers workers;

    MatrixRounding(Workers workers) {
        this.workers = workers;
    }

    /**
     * Rounds to codes of at most 8 bits.
     *
     * @param grid blocks of x
     * @param x [rows, cols]
     * @return elements beyond the range of the codes, if they are counted
     */
    long round(PlaneRounding rounding, BlockGrid grid, float[] x, PlaneScales scales) {
        if (scales.zero()) {
            rounding.codes().forEach(codes -> Arrays.fill(codes.bytes(), (byte) 0));
            return 0;
        }
        clearRowEnds(rounding);
        LongAdder beyond = new LongAdder();
        workers.forEachRun(grid.rows(), grid.cols(), (from, to) -> {
            StretchRounder rounder = new StretchRounder(rounding, scales.divisor(), scales.numbers());
            float[] multipliers = new float[grid.cols()]; // [cols]
            int spreadFor = -1;
            for (int row = from; row < to; row++) {
                int blockRow = row / grid.height();
                if (blockRow != spreadFor) {
                    grid.spread(scales.multipliers(), blockRow, multipliers);
                    spreadFor = blockRow;
                }
                rounder.round(x, row * grid.cols(), grid.cols(), multipliers, 0, row, 0);
            }
            beyond.add(rounder.beyond());
        });
        return beyond.sum();
    }

    /** Half a byte at the end of an odd row is no element, but has code 0. */
    static void clearRowEnds(PlaneRounding rounding) {
        for (HostTensor codes : rounding.codes()) {
            if (codes.dtype().packed() && rounding.cols() % 2 != 0) {
                Arrays.fill(codes.bytes(), (byte) 0);
            }
        }
    }

    /** Rounds to BF16 or FP16. */
    void roundToHalf(float[] x, int elements, HostTensor codes) {
        short[] out = codes.shorts(); // [rows, cols]
        boolean bf16 = codes.dtype() == DType.BF16;
        workers.forEachRun(elements, 1, (from, to) -> {
            if (bf16) {
                HalfWriter.bf16(x, from, to - from, out);
            } else {
                HalfWriter.fp16(x, from, to - from, out);
            }
        });
    }
}
