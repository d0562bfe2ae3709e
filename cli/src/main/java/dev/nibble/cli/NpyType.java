package dev.nibble.cli;

import dev.nibble.tensor.Fp16;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * How a .npy file stores an element.
 *
 * @param element what it is
 * @param order order of its bytes
 */
record NpyType(Element element, ByteOrder order) {
    /** Element types that can be read. */
    enum Element {
        FLOAT16(Short.BYTES),
        FLOAT32(Float.BYTES),
        FLOAT64(Double.BYTES);

        private final int byteSize;

        Element(int byteSize) {
            this.byteSize = byteSize;
        }
    }

    /**
     * {@return the type that a header's descr names, as in {@code <f4}}
     *
     * @throws IllegalArgumentException if it cannot be read
     */
    static NpyType of(String descr) {
        return switch (descr) {
            case "<f2" -> new NpyType(Element.FLOAT16, ByteOrder.LITTLE_ENDIAN);
            case ">f2" -> new NpyType(Element.FLOAT16, ByteOrder.BIG_ENDIAN);
            case "<f4" -> new NpyType(Element.FLOAT32, ByteOrder.LITTLE_ENDIAN);
            case ">f4" -> new NpyType(Element.FLOAT32, ByteOrder.BIG_ENDIAN);
            case "<f8" -> new NpyType(Element.FLOAT64, ByteOrder.LITTLE_ENDIAN);
            case ">f8" -> new NpyType(Element.FLOAT64, ByteOrder.BIG_ENDIAN);
            default ->
                throw new IllegalArgumentException(
                        "holds elements of type '" + descr + "', but must hold floats; save x.astype('<f4')");
        };
    }

    /** {@return bytes of one element} */
    int byteSize() {
        return element.byteSize;
    }

    /** {@return the element at the buffer's position, exactly; the buffer has this type's order} */
    double next(ByteBuffer buffer) {
        return switch (element) {
            case FLOAT16 -> Fp16.decode(buffer.getShort());
            case FLOAT32 -> buffer.getFloat();
            case FLOAT64 -> buffer.getDouble();
        };
    }

    /** {@return its name: {@code float32}} */
    String label() {
        return "float" + element.byteSize * Byte.SIZE;
    }
}
