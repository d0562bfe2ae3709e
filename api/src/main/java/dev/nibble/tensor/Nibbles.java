package dev.nibble.tensor;

/**
 * Two 4-bit codes a byte: element 2j in the low half, 2j+1 in the high half. A row that ends in a low half has code 0
 * beside it.
 */
public final class Nibbles {
    private Nibbles() {}

    /**
     * {@return the four bits of an element}
     *
     * @param bytes packed codes
     * @param element number of the element, counted with the rows' {@link DType#pitch}
     */
    public static int get(byte[] bytes, int element) {
        return bytes[element >> 1] >> ((element & 1) << 2) & 0xF;
    }

    /**
     * Stores the four low bits of a code; the element beside it keeps its own.
     *
     * @param bytes packed codes
     * @param element number of the element, counted with the rows' {@link DType#pitch}
     * @param code the code
     */
    public static void set(byte[] bytes, int element, int code) {
        int shift = (element & 1) << 2;
        int other = bytes[element >> 1] & (0xF0 >> shift);
        bytes[element >> 1] = (byte) (other | (code & 0xF) << shift);
    }

    /**
     * {@return the integer that a packed or exponent code stands for at scale 1}
     *
     * @param format INT4, UINT4, E3M0 or E4M0
     * @param code its bits, from 0
     */
    public static int value(DType format, int code) {
        return switch (format) {
            case INT4 -> (code & 0xF) << 28 >> 28;
            case UINT4 -> code & 0xF;
            case E3M0 -> power(code & 7, (code & 8) != 0);
            case E4M0 -> power(code & 0x7F, (code & 0x80) != 0);
            case FP32, BF16, FP16, E4M3, E5M2, INT8, INT32 ->
                throw new IllegalArgumentException(format.label() + " is neither a 4-bit nor an exponent format");
        };
    }

    private static int power(int k, boolean negative) {
        int magnitude = k == 0 ? 0 : 1 << (k - 1);
        return negative ? -magnitude : magnitude;
    }
}
