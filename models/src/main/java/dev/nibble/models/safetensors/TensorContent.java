package dev.nibble.models.safetensors;

import dev.nibble.tensor.Shape;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.function.Supplier;

/**
 * A tensor that is to be written. Its elements are asked for when their turn comes, so that only one tensor need be in
 * memory.
 */
public final class TensorContent {
    private static final int CHUNK = 1 << 16; // elements encoded at once

    /** Writes the elements of a tensor. */
    private interface Elements {
        void writeTo(OutputStream stream) throws IOException;
    }

    private final String name;
    private final ElementType type;
    private final Shape shape;
    private final Elements elements;

    private TensorContent(String name, ElementType type, Shape shape, Elements elements) {
        this.name = name;
        this.type = type;
        this.shape = shape;
        this.elements = elements;
    }

    /**
     * {@return a tensor of real numbers, rounded to the nearest, ties to even}
     *
     * @param name unique in the file
     * @param type a real type; FP8 saturates
     * @param shape extents
     * @param values gives the elements, row-major
     */
    public static TensorContent floats(String name, ElementType type, Shape shape, Supplier<float[]> values) {
        if (!type.isReal()) {
            throw new IllegalArgumentException(
                    "tensor " + name + " is to be " + type + ", but real numbers need one of " + ElementType.reals());
        }
        return new TensorContent(name, type, shape, stream -> write(stream, name, type, shape, values.get()));
    }

    /**
     * {@return a tensor of bytes that are elements already, little-endian}
     *
     * @param name unique in the file
     * @param type what they are
     * @param shape extents
     * @param bytes gives them
     */
    public static TensorContent bytes(String name, ElementType type, Shape shape, Supplier<byte[]> bytes) {
        return new TensorContent(name, type, shape, stream -> {
            byte[] all = bytes.get();
            requireLength(name, shape, shape.elements() * type.byteSize(), all.length);
            stream.write(all);
        });
    }

    private static void write(OutputStream stream, String name, ElementType type, Shape shape, float[] values)
            throws IOException {
        requireLength(name, shape, shape.elements(), values.length);
        ByteBuffer buffer = ByteBuffer.allocate(CHUNK * type.byteSize()).order(ByteOrder.LITTLE_ENDIAN);
        for (int from = 0; from < values.length; from += CHUNK) {
            int count = Math.min(CHUNK, values.length - from);
            buffer.clear();
            for (int i = from; i < from + count; i++) {
                type.putFloat(buffer, values[i]);
            }
            stream.write(buffer.array(), 0, buffer.position());
        }
    }

    private static void requireLength(String name, Shape shape, long needed, long length) {
        if (needed != length) {
            throw new IllegalArgumentException(
                    "tensor %s of shape %s needs %d values, but gets %d".formatted(name, shape, needed, length));
        }
    }

    /** {@return its name} */
    public String name() {
        return name;
    }

    ElementType type() {
        return type;
    }

    Shape shape() {
        return shape;
    }

    long byteSize() {
        return Math.multiplyExact(shape.elements(), type.byteSize());
    }

    void writeTo(OutputStream stream) throws IOException {
        elements.writeTo(stream);
    }
}
