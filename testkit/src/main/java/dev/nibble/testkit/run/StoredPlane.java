package dev.nibble.testkit.run;

import dev.nibble.quant.PlaneSpec;
import dev.nibble.tensor.Bf16;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Fp16;
import dev.nibble.tensor.Fp8;
import dev.nibble.tensor.Nibbles;

/**
 * A plane as a backend reads it out.
 *
 * @param spec how it was made
 * @param format the format its codes are stored in
 * @param codes [rows, k], as {@link dev.nibble.spi.Backend#readCodes} gives them
 * @param scales [kGroups][rowGroups]; empty if the plane is unscaled
 */
public record StoredPlane(PlaneSpec spec, DType format, byte[] codes, float[] scales) {
    /** {@return what a code stands for at scale 1} */
    public double code(int element) {
        return switch (format) {
            case INT8, INT4 -> codes[element];
            case UINT4, E3M0, E4M0 -> Nibbles.value(format, codes[element] & 0xFF);
            case E4M3, E5M2 -> Fp8.decode(format, codes[element]);
            case BF16 -> Bf16.decode((short) bits(element, Short.BYTES));
            case FP16 -> Fp16.decode((short) bits(element, Short.BYTES));
            case FP32 -> Float.intBitsToFloat(bits(element, Integer.BYTES));
            case INT32 -> throw new IllegalStateException("an operand cannot be int32");
        };
    }

    private int bits(int element, int size) {
        int bits = 0;
        for (int i = size - 1; i >= 0; i--) {
            bits = bits << Byte.SIZE | (codes[element * size + i] & 0xFF); // little-endian
        }
        return bits;
    }
}
