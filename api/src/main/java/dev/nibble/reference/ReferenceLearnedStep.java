package dev.nibble.reference;

import dev.nibble.host.HostTensor;
import dev.nibble.quant.HadamardSearch;
import dev.nibble.quant.StraightThrough;
import dev.nibble.quant.Transform;
import dev.nibble.spi.DeviceState;
import dev.nibble.tensor.Tensor;

/** Learned step sizes in plain loops: the specification of their gradients and of the search for a block size. */
public final class ReferenceLearnedStep {
    private ReferenceLearnedStep() {}

    static void search(HadamardSearch search, Tensor x, Tensor w, DeviceState state) {
        float[] target = HostTensor.floats(state.get(search.state()));
        target[0] = log2OfBest(search, x, w);
    }

    private static float log2OfBest(HadamardSearch search, Tensor x, Tensor w) {
        int best = Integer.numberOfTrailingZeros(search.sizes().getFirst()); // where every score is NaN
        float smallest = Float.POSITIVE_INFINITY;
        for (int size : search.sizes()) {
            int log2 = Integer.numberOfTrailingZeros(size);
            float score = error(x, log2, search.top()) * error(w, log2, search.top());
            if (score < smallest) {
                smallest = score;
                best = log2;
            }
        }
        return best;
    }

    /** {@return Σ (x - step · code)² of the transformed matrix; a Hadamard transform does not change the norm} */
    private static float error(Tensor tensor, int log2, int top) {
        int rows = OperandChecks.rows(tensor);
        int cols = OperandChecks.cols(tensor);
        float[] x = HostTensor.floats(tensor).clone(); // [rows, cols]
        Hadamard.transform(x, 0, x.length, log2);
        float amax = 0;
        for (float value : x) {
            amax = Math.max(amax, Math.abs(value)); // NaN stays
        }
        GroupScale scale = GroupScale.meanMagnitude(top, amax, Moments.of(x, rows, cols));
        float[] squares = new float[rows]; // [rows]
        for (int row = 0; row < rows; row++) {
            float[] errors = new float[cols]; // [cols]
            for (int col = 0; col < cols; col++) {
                float value = x[row * cols + col];
                errors[col] = Math.fma(-scale.scale(), Rounder.nearest(scale.apply(value), -top, top), value);
            }
            squares[row] = LaneSum.dot(errors, 0, errors, 0, cols);
        }
        return LaneSum.sum(squares, 0, rows);
    }

    static void straightThrough(StraightThrough clip, Tensor gradient, Tensor x, DeviceState state) {
        int rows = OperandChecks.rows(x);
        int cols = OperandChecks.cols(x);
        OperandChecks.requireMatrix("gradient", gradient, rows, cols);
        float step = HostTensor.floats(state.get(clip.step()))[0];
        float[] values = HostTensor.floats(x); // [rows, cols]
        float[] r = HostTensor.floats(gradient); // [rows, cols]
        float[] transformed = Transforms.apply(clip.transform(), values, rows, cols, state); // [rows, cols]
        float[] sums = new float[rows]; // [rows]
        float[] deltas = new float[cols]; // [cols]
        for (int row = 0; row < rows; row++) {
            for (int col = 0; col < cols; col++) {
                deltas[col] = delta(transformed[row * cols + col] / step, clip.top());
            }
            sums[row] = LaneSum.dot(r, row * cols, deltas, 0, cols);
            for (int col = 0; col < cols; col++) {
                int at = row * cols + col;
                r[at] = inside(transformed[at] / step, clip.top()) ? r[at] : 0;
            }
        }
        float[] stepGradient = HostTensor.floats(state.get(clip.stepGradient()));
        stepGradient[0] += LaneSum.sum(sums, 0, rows) * gain(clip.top(), (long) rows * cols);
        adjoint(clip.transform(), r, rows, cols, state);
    }

    /** {@return rint(t) - t inside ±top, ±top outside, NaN for NaN} */
    public static float delta(float t, float top) {
        if (Math.abs(t) > top) {
            return Math.copySign(top, t);
        }
        return (float) Math.rint(t) - t;
    }

    /** {@return whether the code of t is not clipped; the boundary is inside} */
    public static boolean inside(float t, float top) {
        return Math.abs(t) <= top;
    }

    /** {@return 1 / sqrt(top · elements), rounded to FP32} */
    public static float gain(int top, long elements) {
        return (float) (1 / Math.sqrt((double) top * elements));
    }

    private static void adjoint(Transform transform, float[] gradient, int rows, int cols, DeviceState state) {
        switch (transform) {
            case Transform.Identity _ -> {}
            case Transform.BlockHadamard hadamard ->
                Hadamard.transform(gradient, 0, rows * cols, Transforms.log2(hadamard, state, cols));
            case Transform.ColumnScale _ -> {
                float[] scaled = Transforms.apply(transform, gradient, rows, cols, state); // [rows, cols]
                System.arraycopy(scaled, 0, gradient, 0, scaled.length);
            }
        }
    }
}
