package dev.nibble.reference;

import dev.nibble.host.HostTensor;
import dev.nibble.tensor.Bf16;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Fp16;
import dev.nibble.tensor.Fp8;
import dev.nibble.tensor.Nibbles;

/** The codes of one plane, a matrix as stored, by the bits or by the value that they stand for at scale 1. */
final class CodeArray {
    private static final byte[] NO_BYTES = {};
    private static final short[] NO_SHORTS = {};
    private static final float[] NO_FLOATS = {};

    private final DType format;
    private final int pitch; // elements from row to row
    private final byte[] bytes; // of a format of 4 or 8 bits, else empty
    private final short[] shorts; // of a format of 16 bits, else empty
    private final float[] floats; // of FP32, else empty

    CodeArray(HostTensor codes) {
        format = codes.dtype();
        pitch = (int) format.pitch(codes.shape().cols());
        bytes = format.bits() <= 8 ? codes.bytes() : NO_BYTES;
        shorts = format.bits() == 16 ? codes.shorts() : NO_SHORTS;
        floats = format == DType.FP32 ? HostTensor.floats(codes) : NO_FLOATS;
    }

    /** Stores the bits of a code. */
    void set(int row, int col, int bits) {
        int at = row * pitch + col;
        switch (format) {
            case INT8, E4M3, E5M2, E4M0 -> bytes[at] = (byte) bits;
            case INT4, UINT4, E3M0 -> Nibbles.set(bytes, at, bits);
            case BF16, FP16 -> shorts[at] = (short) bits;
            case FP32, INT32 -> throw new IllegalStateException(format.label() + " has no code");
        }
    }

    /** What a code stands for at scale 1. */
    float value(int row, int col) {
        int at = row * pitch + col;
        return switch (format) {
            case INT8 -> bytes[at];
            case INT4, UINT4, E3M0 -> Nibbles.value(format, Nibbles.get(bytes, at));
            case E4M0 -> Nibbles.value(format, bytes[at] & 0xFF);
            case E4M3, E5M2 -> Fp8.decode(format, bytes[at]);
            case BF16 -> Bf16.decode(shorts[at]);
            case FP16 -> Fp16.decode(shorts[at]);
            case FP32 -> floats[at];
            case INT32 -> throw new IllegalStateException("an operand cannot be int32");
        };
    }
}
