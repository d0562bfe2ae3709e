package dev.nibble.reference;

import dev.nibble.host.HostTensor;
import dev.nibble.quant.Rounding;
import dev.nibble.tensor.Bf16;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Fp16;
import dev.nibble.tensor.Fp8;

/** The codes of one plane, by the value that they stand for at scale 1. */
final class CodeArray {
    private static final byte[] NO_BYTES = {};
    private static final short[] NO_SHORTS = {};
    private static final float[] NO_FLOATS = {};

    private final DType format;
    private final byte[] bytes; // the tensor's elements if the format has one byte, else empty
    private final short[] shorts; // the tensor's elements if the format has two bytes, else empty
    private final float[] floats; // the tensor's elements if the format is FP32, else empty

    CodeArray(HostTensor codes) {
        format = codes.dtype();
        bytes = format.byteSize() == 1 ? codes.bytes() : NO_BYTES;
        shorts = format.byteSize() == 2 ? codes.shorts() : NO_SHORTS;
        floats = format.byteSize() == 4 ? HostTensor.floats(codes) : NO_FLOATS;
    }

    /** Stores the code of a scaled value; {@code u} counts if the rounding is stochastic. */
    void round(int at, float t, Rounding rounding, float u) {
        switch (format) {
            case INT8 -> bytes[at] = rounding == Rounding.NEAREST_EVEN ? Rounder.nearest(t) : Rounder.stochastic(t, u);
            case E4M3, E5M2 -> bytes[at] = Fp8.encode(format, t);
            case BF16 -> shorts[at] = Bf16.encode(t);
            case FP16 -> shorts[at] = Fp16.encode(t);
            case FP32 -> floats[at] = t;
            case INT32 -> throw new IllegalStateException("an operand cannot be int32");
        }
    }

    /** Stores code 0. */
    void zero(int at) {
        switch (format) {
            case INT8, E4M3, E5M2 -> bytes[at] = 0;
            case BF16, FP16 -> shorts[at] = 0;
            case FP32, INT32 -> floats[at] = 0;
        }
    }

    /** What a code stands for at scale 1. */
    float value(int at) {
        return switch (format) {
            case INT8 -> bytes[at];
            case E4M3, E5M2 -> Fp8.decode(format, bytes[at]);
            case BF16 -> Bf16.decode(shorts[at]);
            case FP16 -> Fp16.decode(shorts[at]);
            case FP32 -> floats[at];
            case INT32 -> throw new IllegalStateException("an operand cannot be int32");
        };
    }
}
