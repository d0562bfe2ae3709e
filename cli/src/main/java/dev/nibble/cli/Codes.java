package dev.nibble.cli;

import dev.nibble.tensor.DType;
import dev.nibble.tensor.Fp8;

/** Codes as they are stored: bytes of an element in little-endian order. */
final class Codes {
    private Codes() {}

    /** {@return whether an element's code stands for 0, of either sign} */
    static boolean isZero(DType format, byte[] codes, int element) {
        int size = format.byteSize();
        int bits = 0;
        for (int i = size - 1; i >= 0; i--) {
            bits = (bits << 8) | (codes[element * size + i] & 0xFF);
        }
        int sign = format.family() == DType.Family.INTEGER ? 0 : 1 << (8 * size - 1);
        return (bits & ~sign) == 0;
    }

    /** {@return what a one-byte code stands for at scale 1} */
    static double value(DType format, byte code) {
        return format.family() == DType.Family.FP8 ? Fp8.decode(format, code) : code;
    }
}
