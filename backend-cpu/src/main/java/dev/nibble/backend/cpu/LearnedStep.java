package dev.nibble.backend.cpu;

import dev.nibble.host.HostMemory;
import dev.nibble.host.HostTensor;
import dev.nibble.quant.HadamardSearch;
import dev.nibble.quant.StraightThrough;
import dev.nibble.reference.GroupScale;
import dev.nibble.reference.LaneSum;
import dev.nibble.reference.OperandChecks;
import dev.nibble.reference.ReferenceLearnedStep;
import dev.nibble.spi.DeviceState;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Tensor;

/** Learned step sizes: {@link ReferenceLearnedStep} in vectors, rows shared among threads, bit for bit. */
final class LearnedStep {
    private final HostMemory memory;
    private final Workers workers;

    LearnedStep(HostMemory memory, Workers workers) {
        this.memory = memory;
        this.workers = workers;
    }

    /** {@link HadamardSearch}. */
    void search(HadamardSearch search, Tensor x, Tensor w, DeviceState state) {
        int best = log2(search.sizes().getFirst()); // where every score is NaN
        float smallest = Float.POSITIVE_INFINITY;
        for (int size : search.sizes()) {
            float score = error(x, log2(size), search.top()) * error(w, log2(size), search.top());
            if (score < smallest) {
                smallest = score;
                best = log2(size);
            }
        }
        HostTensor.floats(state.get(search.state()))[0] = best;
    }

    private static int log2(int size) {
        return Integer.numberOfTrailingZeros(size);
    }

    private float error(Tensor tensor, int log2, int top) {
        int rows = OperandChecks.rows(tensor);
        int cols = OperandChecks.cols(tensor);
        try (HostTensor scratch = memory.allocate("transformed", tensor.dtype(), tensor.shape(), MemoryTag.SCRATCH)) {
            float[] x = HostTensor.floats(scratch); // [rows, cols]
            new MatrixTransform.Butterflies(log2).apply(workers, HostTensor.floats(tensor), rows, cols, x);
            float amax = BlockAmax.ofMatrix(workers, x, rows, cols);
            var moments = new MatrixMoments(workers, x, rows, cols);
            GroupScale scale = GroupScale.meanMagnitude(top, amax, moments.get());
            float[] squares = new float[rows]; // [rows]
            workers.forEachRun(rows, cols, (from, to) -> {
                float[] errors = rowBuffer(cols);
                for (int row = from; row < to; row++) {
                    System.arraycopy(x, row * cols, errors, 0, cols);
                    StepLanes.errors(errors, cols, scale, top);
                    squares[row] = LaneSums.dot(errors, 0, errors, 0, cols);
                }
            });
            return LaneSum.sum(squares, 0, rows);
        }
    }

    /** {@link StraightThrough}. */
    void straightThrough(StraightThrough clip, Tensor gradient, Tensor x, DeviceState state) {
        int rows = OperandChecks.rows(x);
        int cols = OperandChecks.cols(x);
        OperandChecks.requireMatrix("gradient", gradient, rows, cols);
        MatrixTransform transform = MatrixTransform.of(clip.transform(), state, cols);
        float step = HostTensor.floats(state.get(clip.step()))[0];
        float[] values = HostTensor.floats(x); // [rows, cols]
        float[] r = HostTensor.floats(gradient); // [rows, cols]
        float[] sums = new float[rows]; // [rows]
        workers.forEachRun(rows, cols, (from, to) -> {
            float[] t = rowBuffer(cols);
            float[] deltas = rowBuffer(cols);
            for (int row = from; row < to; row++) {
                System.arraycopy(values, row * cols, t, 0, cols);
                transform.inPlace(t, 0, cols);
                StepLanes.deltas(t, cols, step, clip.top(), deltas);
                sums[row] = LaneSums.dot(r, row * cols, deltas, 0, cols);
                StepLanes.clip(t, cols, clip.top(), r, row * cols);
                transform.inPlace(r, row * cols, cols); // it is symmetric
            }
        });
        float[] stepGradient = HostTensor.floats(state.get(clip.stepGradient()));
        stepGradient[0] += LaneSum.sum(sums, 0, rows) * ReferenceLearnedStep.gain(clip.top(), (long) rows * cols);
    }

    /** {@return room for a row and a vector} */
    private static float[] rowBuffer(int cols) {
        return new float[cols + TileKernel.LANES.length()];
    }
}
