package dev.nibble.reference;

import dev.nibble.host.HostTensor;
import dev.nibble.quant.Transform;
import dev.nibble.spi.DeviceState;

/** Transforms of a matrix along its columns. */
public final class Transforms {
    private static final int LARGEST_LOG2 = 30;

    private Transforms() {}

    /**
     * {@return log2 of the block size that a state vector holds}
     *
     * @throws IllegalArgumentException if the size does not divide the columns
     */
    public static int log2(Transform.BlockHadamard hadamard, DeviceState state, int cols) {
        return log2(hadamard, HostTensor.floats(state.get(hadamard.state()))[0], cols);
    }

    /**
     * {@return log2 of a block size}
     *
     * @param value what the state vector holds
     * @throws IllegalArgumentException if the size does not divide the columns
     */
    public static int log2(Transform.BlockHadamard hadamard, float value, long cols) {
        int log2 = (int) value;
        if (log2 != value || log2 < 0 || log2 > LARGEST_LOG2 || cols % (1 << log2) != 0) {
            throw new IllegalArgumentException("log2 of the Hadamard block in state vector '" + hadamard.state()
                    + "' is " + value + ", but 2 to that must divide the " + cols + " columns");
        }
        return log2;
    }

    /**
     * {@return d of a column scale}
     *
     * @throws IllegalArgumentException if there is not one element a column
     */
    public static float[] columnScale(Transform.ColumnScale transform, DeviceState state, int cols) {
        float[] d = HostTensor.floats(state.get(transform.state())); // [cols]
        if (d.length != cols) {
            throw new IllegalArgumentException("state vector '" + transform.state() + "' has " + d.length
                    + " elements, but the matrix has " + cols + " columns");
        }
        return d;
    }

    /**
     * {@return the transformed matrix, [rows, cols]; x itself if the transform is the identity}
     *
     * @param x [rows, cols], not modified
     */
    public static float[] apply(Transform transform, float[] x, int rows, int cols, DeviceState state) {
        return switch (transform) {
            case Transform.Identity _ -> x;
            case Transform.BlockHadamard hadamard -> {
                float[] y = x.clone(); // [rows, cols]
                Hadamard.transform(y, 0, rows * cols, log2(hadamard, state, cols));
                yield y;
            }
            case Transform.ColumnScale scale -> {
                float[] d = columnScale(scale, state, cols);
                float[] y = new float[x.length]; // [rows, cols]
                for (int i = 0; i < x.length; i++) {
                    y[i] = scale.inverse() ? x[i] / d[i % cols] : x[i] * d[i % cols];
                }
                yield y;
            }
        };
    }
}
