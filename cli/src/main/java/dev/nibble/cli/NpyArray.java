package dev.nibble.cli;

import dev.nibble.error.FormatException;
import dev.nibble.error.NonFiniteException;
import dev.nibble.tensor.Shape;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.stream.Collectors;

/**
 * An array from a NumPy .npy file.
 *
 * @param shape its extents
 * @param values its elements as FP32, row-major
 */
record NpyArray(Shape shape, float[] values) {
    /**
     * Reads a file of version 1, 2 or 3 that holds float16, float32 or float64 elements, in either byte order and in C or
     * Fortran order. A float64 value is rounded to the nearest FP32.
     *
     * @throws FormatException if it is damaged or of another kind
     * @throws NonFiniteException if a float64 value is finite but too large for FP32
     * @throws IOException if it cannot be read
     */
    static NpyArray read(Path file) throws IOException {
        if (!Files.exists(file)) {
            throw new NoSuchFileException(file.toString());
        }
        if (!Files.isRegularFile(file)) {
            throw new FormatException(file + " is not a file");
        }
        try (FileChannel channel = FileChannel.open(file)) {
            return new NpyReader(file, channel).read();
        }
    }

    /**
     * {@return this array}
     *
     * @param name what it is, for the message
     * @throws IllegalArgumentException if it has no elements
     * @throws NonFiniteException if it holds NaN or infinity
     */
    NpyArray requireUsable(String name) {
        if (values.length == 0) {
            throw new IllegalArgumentException(name + " has shape " + shape + ", but needs at least one element");
        }
        int first = firstNotFinite(values);
        if (first >= 0) {
            long bad = 0;
            for (float value : values) {
                bad += Float.isFinite(value) ? 0 : 1;
            }
            throw new NonFiniteException("%s%s is %s; all values must be finite (%d of %d are not)"
                    .formatted(name, position(shape, first), values[first], bad, values.length));
        }
        return this;
    }

    /** {@return the extents with all axes but the last taken together: [rows, cols]} */
    Shape matrix() {
        return Shape.of(shape.rows(), shape.cols());
    }

    /** {@return whether no element is negative; a negative zero is not} */
    boolean isNonNegative() {
        for (float value : values) {
            if (value < 0) {
                return false;
            }
        }
        return true;
    }

    /** {@return where the first NaN or infinity is, -1 if nowhere} */
    static int firstNotFinite(float[] values) {
        for (int i = 0; i < values.length; i++) {
            if (!Float.isFinite(values[i])) {
                return i;
            }
        }
        return -1;
    }

    /** {@return the position of an element as indices, {@code [1, 2]}; nothing for a scalar} */
    static String position(Shape shape, long element) {
        if (shape.rank() == 0) {
            return "";
        }
        long[] index = new long[shape.rank()]; // [rank]
        long rest = element;
        for (int axis = shape.rank() - 1; axis >= 0; axis--) {
            long extent = shape.dims().get(axis);
            index[axis] = rest % extent;
            rest /= extent;
        }
        return Arrays.stream(index).mapToObj(String::valueOf).collect(Collectors.joining(", ", "[", "]"));
    }
}
