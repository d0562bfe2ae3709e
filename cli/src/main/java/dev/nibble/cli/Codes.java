package dev.nibble.cli;

import dev.nibble.tensor.DType;
import dev.nibble.tensor.Fp8;
import dev.nibble.tensor.Nibbles;

/** Codes as they are stored: bytes of an element in little-endian order. */
final class Codes {
    private Codes() {}

    /** {@return whether an element's code stands for 0, of either sign} */
    static boolean isZero(DType format, byte[] codes, int element) {
        int size = Math.max(1, format.bits() / 8); // a 4-bit code is read in a byte of its own
        int bits = 0;
        for (int i = size - 1; i >= 0; i--) {
            bits = (bits << 8) | (codes[element * size + i] & 0xFF);
        }
        boolean signed = format.family() != DType.Family.INTEGER || format == DType.E3M0 || format == DType.E4M0;
        int sign = signed ? 1 << (format.bits() - 1) : 0;
        return (bits & ~sign) == 0;
    }

    /** {@return what a one-byte code stands for at scale 1} */
    static double value(DType format, byte code) {
        return switch (format) {
            case E4M3, E5M2 -> Fp8.decode(format, code);
            case UINT4, E3M0, E4M0 -> Nibbles.value(format, code & 0xFF);
            default -> code;
        };
    }
}
