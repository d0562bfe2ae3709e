package dev.nibble.cli;

import dev.nibble.error.FormatException;
import dev.nibble.error.NonFiniteException;
import dev.nibble.tensor.Shape;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;

/**
 * Reads one .npy file: magic, version, length of the header, header, elements. What the file claims is compared with its
 * size before memory is allocated.
 *
 * <p>Version 1 has two bytes for the length of the header, versions 2 and 3 have four, little-endian. Source: the format
 * description of numpy.lib.format.
 */
final class NpyReader {
    private static final byte[] MAGIC = {(byte) 0x93, 'N', 'U', 'M', 'P', 'Y'};
    private static final int VERSIONED = MAGIC.length + 2; // bytes of magic and version
    private static final int LARGEST_VERSION = 3;
    private static final int LARGEST_HEADER = 1 << 16; // bytes; that of a plain array has about 120
    private static final int LARGEST_ARRAY = Integer.MAX_VALUE - 8;
    private static final int CHUNK = 1 << 16; // bytes read at once, a multiple of every element size
    private static final String SUPPORTED =
            "; supported are .npy files of versions 1.0, 2.0 and 3.0 with float16, float32 or float64 elements";

    private final Path file;
    private final FileChannel channel;
    private final long size; // bytes of the file

    NpyReader(Path file, FileChannel channel) throws IOException {
        this.file = file;
        this.channel = channel;
        this.size = channel.size();
    }

    /**
     * {@return the array, in C order}
     *
     * @throws FormatException if the file is damaged or of another kind
     * @throws NonFiniteException if a float64 value is finite but too large for FP32
     */
    NpyArray read() throws IOException {
        NpyHeader header = header();
        NpyType type = type(header);
        Shape shape = shape(header, type);
        float[] values = values(type, (int) shape.elements()); // [elements], in the order of the file
        return new NpyArray(shape, header.fortranOrder() ? toRowMajor(shape, values) : values);
    }

    private NpyHeader header() throws IOException {
        String text = new String(bytes(headerLength()), StandardCharsets.ISO_8859_1);
        try {
            return NpyHeader.parse(text);
        } catch (IllegalArgumentException e) {
            throw new FormatException(file + " " + e.getMessage());
        }
    }

    private NpyType type(NpyHeader header) {
        try {
            return NpyType.of(header.descr());
        } catch (IllegalArgumentException e) {
            throw new FormatException(file + " " + e.getMessage() + SUPPORTED);
        }
    }

    /** {@return bytes of the header, which follow} */
    private int headerLength() throws IOException {
        int lengthSize = requireVersion() == 1 ? Short.BYTES : Integer.BYTES;
        if (size < VERSIONED + lengthSize) {
            throw truncated(VERSIONED + lengthSize);
        }
        ByteBuffer field = ByteBuffer.wrap(bytes(lengthSize)).order(ByteOrder.LITTLE_ENDIAN);
        long length = lengthSize == Short.BYTES
                ? Short.toUnsignedLong(field.getShort())
                : Integer.toUnsignedLong(field.getInt());
        long follow = size - channel.position();
        if (length > follow) {
            throw new FormatException(
                    "%s is truncated: its header needs %d bytes, but %d follow".formatted(file, length, follow));
        }
        if (length > LARGEST_HEADER) {
            throw new FormatException("%s has a header of %d bytes, but that of an array has at most %d%s"
                    .formatted(file, length, LARGEST_HEADER, SUPPORTED));
        }
        return (int) length;
    }

    /** {@return the major version} */
    private int requireVersion() throws IOException {
        byte[] start = bytes((int) Math.min(size, VERSIONED));
        int known = Math.min(start.length, MAGIC.length);
        if (known == 0 || !Arrays.equals(start, 0, known, MAGIC, 0, known)) {
            throw new FormatException(file + " is not a .npy file: it does not begin with \\x93NUMPY" + SUPPORTED);
        }
        if (start.length < VERSIONED) {
            throw truncated(VERSIONED + Short.BYTES);
        }
        int major = Byte.toUnsignedInt(start[MAGIC.length]);
        int minor = Byte.toUnsignedInt(start[MAGIC.length + 1]);
        if (major < 1 || major > LARGEST_VERSION || minor != 0) {
            throw new FormatException(file + " is of .npy version " + major + "." + minor + SUPPORTED);
        }
        return major;
    }

    private FormatException truncated(int needed) {
        return new FormatException(
                "%s is truncated: it has %d bytes, but a .npy file has at least %d".formatted(file, size, needed));
    }

    private byte[] bytes(int count) throws IOException {
        ByteBuffer buffer = ByteBuffer.allocate(count);
        fill(buffer);
        return buffer.array();
    }

    private void fill(ByteBuffer buffer) throws IOException {
        while (buffer.hasRemaining()) {
            if (channel.read(buffer) < 0) {
                throw new FormatException(file + " became shorter while it was read");
            }
        }
        buffer.flip();
    }

    private Shape shape(NpyHeader header, NpyType type) throws IOException {
        long follow = size - channel.position();
        Shape shape;
        long needed;
        try {
            shape = new Shape(header.shape());
            needed = Math.multiplyExact(shape.elements(), type.byteSize());
        } catch (ArithmeticException _) {
            throw new FormatException(
                    file + " claims shape " + header.shape() + ", whose size overflows; it is damaged");
        }
        if (needed != follow) {
            String problem = needed > follow ? "truncated" : "damaged";
            throw new FormatException("%s is %s: shape %s of %s needs %d bytes, but %d follow its header"
                    .formatted(file, problem, shape, type.label(), needed, follow));
        }
        if (shape.elements() > LARGEST_ARRAY) {
            throw new FormatException(
                    "%s has %d elements, but at most %d can be read".formatted(file, shape.elements(), LARGEST_ARRAY));
        }
        return shape;
    }

    private float[] values(NpyType type, int elements) throws IOException {
        float[] values = new float[elements]; // [elements]
        ByteBuffer buffer = ByteBuffer.allocate(CHUNK).order(type.order());
        int done = 0;
        while (done < elements) {
            fill(buffer.clear().limit((int) Math.min(CHUNK, (long) (elements - done) * type.byteSize())));
            while (buffer.hasRemaining()) {
                values[done] = narrow(done, type.next(buffer));
                done++;
            }
        }
        return values;
    }

    private float narrow(int position, double value) {
        float narrowed = (float) value;
        if (Float.isInfinite(narrowed) && Double.isFinite(value)) {
            throw new NonFiniteException("%s holds %s as element %d of the file, beyond the range of FP32 (3.4e38)"
                    .formatted(file, value, position));
        }
        return narrowed;
    }

    /**
     * {@return the elements with the last axis contiguous}
     *
     * @param shape extents, rank r
     * @param values the elements with the first axis contiguous: {@code x[i0, …, ir]} at {@code i0 + d0·(i1 + d1·(…))}
     */
    private static float[] toRowMajor(Shape shape, float[] values) {
        if (values.length == 0) {
            return values;
        }
        int rank = shape.rank();
        int[] extents = shape.dims().stream().mapToInt(Math::toIntExact).toArray(); // [rank]
        int[] strides = new int[rank]; // [rank]
        int stride = 1;
        for (int axis = 0; axis < rank; axis++) {
            strides[axis] = stride;
            stride *= extents[axis]; // at most the number of elements: no extent is 0
        }
        int[] index = new int[rank]; // [rank]
        float[] rowMajor = new float[values.length]; // [elements]
        int from = 0;
        for (int to = 0; to < rowMajor.length; to++) {
            rowMajor[to] = values[from];
            int axis = rank - 1;
            while (axis >= 0 && ++index[axis] == extents[axis]) {
                index[axis] = 0;
                from -= strides[axis] * (extents[axis] - 1);
                axis--;
            }
            from += axis < 0 ? 0 : strides[axis];
        }
        return rowMajor;
    }
}
