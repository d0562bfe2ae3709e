package dev.nibble.backend.cpu;

import dev.nibble.host.HostTensor;
import dev.nibble.tensor.DType;
import java.util.Arrays;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.LongAdder;

/** Rounds all elements of a matrix, its rows shared among threads. */
final class MatrixRounding {
    private final Workers workers;
    private final Optional<NativeKernels> kernels;

    MatrixRounding(Workers workers, Optional<NativeKernels> kernels) {
        this.workers = workers;
        this.kernels = kernels;
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
        Optional<NativeRounding> library = NativeRounding.of(kernels, rounding, grid, scales.divisor());
        LongAdder beyond = new LongAdder();
        if (library.isPresent()) {
            workers.forEachRun(grid.rows(), grid.cols(), (from, to) -> {
                var area = new NativeRounding.Area(from, 0, to - from, grid.cols());
                beyond.add(library.get().round(x, from * grid.cols(), grid.cols(), area, scales.multipliers(), 0));
            });
            return beyond.sum();
        }
        clearRowEnds(rounding);
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

    /**
     * What was found on the way.
     *
     * @param beyond elements beyond the range of the codes
     * @param amax of the transformed matrix; NaN if an element is NaN
     */
    record Found(long beyond, float amax) {}

    /**
     * Transforms each row and rounds it while it is in the cache.
     *
     * @param scales one of the tensor, which no element decides about
     */
    Found roundTransformed(PlaneRounding rounding, int rows, MatrixSource source, PlaneScales scales) {
        clearRowEnds(rounding);
        float[] x = source.values(); // [rows, cols]
        int cols = rounding.cols();
        LongAdder beyond = new LongAdder();
        AtomicInteger largest = new AtomicInteger(); // bits: no NaN is lost
        workers.forEachRun(rows, cols, (from, to) -> {
            StretchRounder rounder = new StretchRounder(rounding, scales.divisor(), scales.numbers());
            float[] scratch = new float[cols]; // [cols]
            float[] multipliers = new float[cols]; // [cols]
            Arrays.fill(multipliers, scales.multipliers()[0]);
            int bits = 0;
            for (int row = from; row < to; row++) {
                source.transform().row(x, row * cols, cols, scratch);
                bits = Math.max(bits, BlockAmax.rectangle(scratch, 0, cols, 1, cols));
                rounder.round(scratch, 0, cols, multipliers, 0, row, 0);
            }
            beyond.add(rounder.beyond());
            largest.accumulateAndGet(bits, Math::max);
        });
        return new Found(beyond.sum(), Float.intBitsToFloat(largest.get()));
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
