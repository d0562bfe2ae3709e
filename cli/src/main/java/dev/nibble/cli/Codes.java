package dev.nibble.cli;

import dev.nibble.quant.OperandSpec;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Fp8;
import dev.nibble.tensor.Nibbles;

/** Codes as they are read from a backend: a code of at most 8 bits in a byte of its own, a longer one little-endian. */
final class Codes {
    private Codes() {}

    /** {@return whether the operand's elements have codes; plain floats are stored as they are} */
    static boolean exist(OperandSpec operand) {
        return operand.planes().stream().noneMatch(plane -> plane.format().family() == DType.Family.FLOAT);
    }

    /** {@return whether a byte is the code itself, sign-extended; else it is a bit pattern} */
    static boolean areSigned(OperandSpec operand) {
        return operand.planes().stream().allMatch(plane -> isSignedInteger(plane.format()));
    }

    /** {@return whether codes are two's complement integers} */
    static boolean isSignedInteger(DType format) {
        return switch (format) {
            case INT4, INT8 -> true;
            case UINT4, E3M0, E4M0, E4M3, E5M2, FP16, BF16, FP32, INT32 -> false;
        };
    }

    /** {@return whether an element's code stands for 0, of either sign} */
    static boolean isZero(DType format, byte[] codes, int element) {
        int size = Math.max(1, format.bits() / Byte.SIZE);
        if (size == 1) {
            return value(format, codes[element]) == 0;
        }
        int bits = codes[element * size + size - 1] & 0x7F; // without the sign
        for (int i = 0; i < size - 1; i++) {
            bits |= codes[element * size + i];
        }
        return bits == 0;
    }

    /** {@return what a one-byte code stands for at scale 1} */
    static double value(DType format, byte code) {
        return switch (format) {
            case INT4, INT8 -> code;
            case UINT4, E3M0, E4M0 -> Nibbles.value(format, code & 0xFF);
            case E4M3, E5M2 -> Fp8.decode(format, code);
            case FP16, BF16, FP32, INT32 ->
                throw new IllegalArgumentException(format.label() + " has no one-byte codes");
        };
    }
}
