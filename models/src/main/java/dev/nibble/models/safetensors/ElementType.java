package dev.nibble.models.safetensors;

import dev.nibble.tensor.Bf16;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Fp16;
import dev.nibble.tensor.Fp8;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Optional;
import java.util.stream.Collectors;

/** The element types that a file can hold, by the names that they have there. Numbers are little-endian. */
public enum ElementType {
    /** A byte, 0 or 1. */
    BOOL(1, Kind.OTHER),
    /** An unsigned byte. */
    U8(1, Kind.WHOLE),
    /** A byte in two's complement. */
    I8(1, Kind.WHOLE),
    /** {@link DType#E5M2}. */
    F8_E5M2(1, Kind.REAL),
    /** {@link DType#E4M3}. */
    F8_E4M3(1, Kind.REAL),
    /** 16 bits in two's complement. */
    I16(2, Kind.WHOLE),
    /** 16 bits, unsigned. */
    U16(2, Kind.OTHER),
    /** IEEE 754 binary16. */
    F16(2, Kind.REAL),
    /** The upper half of an F32. */
    BF16(2, Kind.REAL),
    /** 32 bits in two's complement. */
    I32(4, Kind.WHOLE),
    /** 32 bits, unsigned. */
    U32(4, Kind.OTHER),
    /** IEEE 754 binary32. */
    F32(4, Kind.REAL),
    /** IEEE 754 binary64. */
    F64(8, Kind.OTHER),
    /** 64 bits in two's complement. */
    I64(8, Kind.WHOLE),
    /** 64 bits, unsigned. */
    U64(8, Kind.OTHER);

    private enum Kind {
        REAL,
        WHOLE,
        OTHER
    }

    private final int byteSize;
    private final Kind kind;

    ElementType(int byteSize, Kind kind) {
        this.byteSize = byteSize;
        this.kind = kind;
    }

    /** {@return the type with this name in files, if there is one} */
    static Optional<ElementType> of(String name) {
        return Arrays.stream(values()).filter(type -> type.name().equals(name)).findFirst();
    }

    /** {@return bytes of one element} */
    public int byteSize() {
        return byteSize;
    }

    /** {@return whether elements are real numbers that an FP32 holds exactly} */
    public boolean isReal() {
        return kind == Kind.REAL;
    }

    /** {@return whether elements are whole numbers that a {@code long} holds} */
    public boolean isWhole() {
        return kind == Kind.WHOLE;
    }

    /** {@return the names of the real types, for messages} */
    static String reals() {
        return Arrays.stream(values())
                .filter(ElementType::isReal)
                .map(ElementType::name)
                .collect(Collectors.joining(", "));
    }

    /** {@return the next element of a real type} */
    float nextFloat(ByteBuffer buffer) {
        return switch (this) {
            case F32 -> buffer.getFloat();
            case F16 -> Fp16.decode(buffer.getShort());
            case BF16 -> Bf16.decode(buffer.getShort());
            case F8_E4M3 -> Fp8.decode(DType.E4M3, buffer.get());
            case F8_E5M2 -> Fp8.decode(DType.E5M2, buffer.get());
            default ->
                throw new IllegalArgumentException(name() + " is not real, but one of " + reals() + " is needed");
        };
    }

    /** Appends the nearest element of a real type; see {@code Fp8}, {@code Bf16} and {@code Fp16}. */
    void putFloat(ByteBuffer buffer, float value) {
        switch (this) {
            case F32 -> buffer.putFloat(value);
            case F16 -> buffer.putShort(Fp16.encode(value));
            case BF16 -> buffer.putShort(Bf16.encode(value));
            case F8_E4M3 -> buffer.put(Fp8.encode(DType.E4M3, value));
            case F8_E5M2 -> buffer.put(Fp8.encode(DType.E5M2, value));
            default ->
                throw new IllegalArgumentException(name() + " is not real, but one of " + reals() + " is needed");
        }
    }

    /** {@return the next element of a whole type} */
    long nextWhole(ByteBuffer buffer) {
        return switch (this) {
            case U8 -> Byte.toUnsignedLong(buffer.get());
            case I8 -> buffer.get();
            case I16 -> buffer.getShort();
            case I32 -> buffer.getInt();
            case I64 -> buffer.getLong();
            default ->
                throw new IllegalArgumentException(name() + " is not whole, but U8, I8, I16, I32 or I64 is needed");
        };
    }
}
