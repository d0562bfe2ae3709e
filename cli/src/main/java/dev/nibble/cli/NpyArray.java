package dev.nibble.cli;

import dev.nibble.error.FormatException;
import dev.nibble.error.NonFiniteException;
import dev.nibble.tensor.Shape;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;

/**
 * An array from a NumPy .npy file of version 1.0: float32 or float64, little-endian, C order.
 *
 * @param shape its extents
 * @param values its elements as FP32, row-major
 */
record NpyArray(Shape shape, float[] values) {
    private static final byte[] MAGIC = {(byte) 0x93, 'N', 'U', 'M', 'P', 'Y'};
    private static final int PREAMBLE = 10; // magic, version, header length
    private static final int LARGEST_ARRAY = Integer.MAX_VALUE - 8;
    private static final int CHUNK = 1 << 16; // bytes read at once, a multiple of every element size
    private static final String SUPPORTED =
            "; supported are .npy files of version 1.0 with little-endian float32 ('<f4')"
                    + " or float64 ('<f8') values in C order";

    /**
     * Reads a file. Sizes that the header claims are compared with the file's size before memory is allocated.
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
            throw new FormatException(file + " is not a file" + SUPPORTED);
        }
        try (FileChannel channel = FileChannel.open(file)) {
            NpyHeader header = header(file, channel);
            int itemSize = itemSize(file, header);
            Shape shape = shape(file, header, channel.size() - channel.position(), itemSize);
            float[] values = new float[(int) shape.elements()]; // [elements]
            fill(file, channel, itemSize, values);
            return new NpyArray(shape, values);
        }
    }

    private static NpyHeader header(Path file, FileChannel channel) throws IOException {
        long size = channel.size();
        byte[] preamble = bytes(file, channel, (int) Math.min(size, PREAMBLE));
        int known = Math.min(preamble.length, MAGIC.length);
        if (!Arrays.equals(preamble, 0, known, MAGIC, 0, known) || preamble.length == 0) {
            throw new FormatException(file + " is not a .npy file: it does not begin with \\x93NUMPY" + SUPPORTED);
        }
        if (preamble.length < PREAMBLE) {
            throw new FormatException(
                    file + " is truncated: it has " + size + " bytes, but a .npy file has at least " + PREAMBLE);
        }
        if (preamble[6] != 1 || preamble[7] != 0) {
            throw new FormatException(file + " is of .npy version " + preamble[6] + "." + preamble[7] + SUPPORTED);
        }
        int length = (preamble[8] & 0xFF) | ((preamble[9] & 0xFF) << 8);
        if (length > size - PREAMBLE) {
            throw new FormatException(file + " is truncated: its header needs " + length + " bytes, but only "
                    + (size - PREAMBLE) + " follow");
        }
        try {
            return NpyHeader.parse(new String(bytes(file, channel, length), StandardCharsets.ISO_8859_1));
        } catch (IllegalArgumentException e) {
            throw new FormatException(file + ": " + e.getMessage() + SUPPORTED);
        }
    }

    private static byte[] bytes(Path file, FileChannel channel, int count) throws IOException {
        ByteBuffer buffer = ByteBuffer.allocate(count);
        while (buffer.hasRemaining()) {
            if (channel.read(buffer) < 0) {
                throw new FormatException(file + " became shorter while it was read");
            }
        }
        return buffer.array();
    }

    private static int itemSize(Path file, NpyHeader header) {
        if (header.fortranOrder() && header.shape().size() > 1) {
            throw new FormatException(file + " is in Fortran order; save numpy.ascontiguousarray(x)" + SUPPORTED);
        }
        return switch (header.descr()) {
            case "<f4" -> Float.BYTES;
            case "<f8" -> Double.BYTES;
            case ">f4", ">f8" ->
                throw new FormatException(file + " is big-endian ('" + header.descr() + "')" + SUPPORTED);
            default ->
                throw new FormatException(
                        file + " holds elements of type '" + header.descr() + "'; save x.astype('<f4')" + SUPPORTED);
        };
    }

    private static Shape shape(Path file, NpyHeader header, long follow, int itemSize) {
        Shape shape;
        long bytes;
        try {
            shape = new Shape(header.shape());
            bytes = Math.multiplyExact(shape.elements(), (long) itemSize);
        } catch (ArithmeticException _) {
            throw new FormatException(
                    file + " claims shape " + header.shape() + ", whose size overflows; it is damaged");
        }
        if (bytes != follow) {
            throw new FormatException("%s is %s: shape %s of %s needs %d bytes, but %d follow its header"
                    .formatted(
                            file,
                            bytes > follow ? "truncated" : "damaged",
                            shape,
                            itemSize == Float.BYTES ? "float32" : "float64",
                            bytes,
                            follow));
        }
        if (shape.elements() > LARGEST_ARRAY) {
            throw new FormatException(
                    file + " has " + shape.elements() + " elements, but at most " + LARGEST_ARRAY + " can be read");
        }
        return shape;
    }

    private static void fill(Path file, FileChannel channel, int itemSize, float[] values) throws IOException {
        ByteBuffer buffer = ByteBuffer.allocate(CHUNK).order(ByteOrder.LITTLE_ENDIAN);
        int done = 0;
        while (done < values.length) {
            buffer.clear().limit((int) Math.min(CHUNK, (long) (values.length - done) * itemSize));
            while (buffer.hasRemaining()) {
                if (channel.read(buffer) < 0) {
                    throw new FormatException(file + " became shorter while it was read");
                }
            }
            buffer.flip();
            while (buffer.hasRemaining()) {
                values[done] = itemSize == Float.BYTES ? buffer.getFloat() : narrow(file, done, buffer.getDouble());
                done++;
            }
        }
    }

    private static float narrow(Path file, int index, double value) {
        float narrowed = (float) value;
        if (Float.isInfinite(narrowed) && Double.isFinite(value)) {
            throw new NonFiniteException(
                    file + ": element " + index + " is " + value + ", beyond the range of FP32 (3.4e38)");
        }
        return narrowed;
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
        long bad = 0;
        int first = -1;
        for (int i = 0; i < values.length; i++) {
            if (!Float.isFinite(values[i])) {
                first = first < 0 ? i : first;
                bad++;
            }
        }
        if (bad > 0) {
            throw new NonFiniteException("%s%s is %s; all values must be finite (%d of %d are not)"
                    .formatted(name, index(first), values[first], bad, values.length));
        }
        return this;
    }

    /** {@return the position of an element as indices} */
    private List<Long> index(long element) {
        Long[] index = new Long[shape.rank()]; // [rank]
        long rest = element;
        for (int axis = shape.rank() - 1; axis >= 0; axis--) {
            long extent = shape.dims().get(axis);
            index[axis] = rest % extent;
            rest /= extent;
        }
        return List.of(index);
    }
}
