package dev.nibble.tensor;

import java.util.Locale;

/** How one element of a tensor is stored. Codes of low-bit formats are stored in exactly these bits. */
public enum DType {
    /** IEEE 754 binary32. */
    FP32(32, Family.FLOAT, Float.MAX_VALUE),
    /** The upper half of an FP32: 8 exponent and 7 mantissa bits. */
    BF16(16, Family.FLOAT, 0x1.fep127f),
    /** IEEE 754 binary16. */
    FP16(16, Family.FLOAT, 65504f),
    /** FP8 with 4 exponent and 3 mantissa bits, no infinity (arXiv:2209.05433). */
    E4M3(8, Family.FP8, 448f),
    /** FP8 with 5 exponent and 2 mantissa bits, IEEE specials (arXiv:2209.05433). */
    E5M2(8, Family.FP8, 57344f),
    /** Two's complement byte. As a code it is symmetric: -127..127, never -128. */
    INT8(8, Family.INTEGER, 127f),
    /** Two's complement nibble, -8..7; a value of one plane is symmetric: -7..7. Two codes a byte: see {@link Nibbles}. */
    INT4(4, Family.INTEGER, 7f),
    /** Unsigned nibble, 0..15, for tensors that are never negative. Two codes a byte. */
    UINT4(4, Family.INTEGER, 15f),
    /**
     * FP4 with 3 exponent bits and no mantissa: a nibble {@code sign<<3 | k} that stands for 0 (k = 0, sign 0) or
     * {@code ±2^(k-1)}, k = 1..7. Whole numbers up to 64, so products are exact integers (arXiv:2112.10769).
     */
    E3M0(4, Family.INTEGER, 64f),
    /** A byte {@code sign<<7 | k} that stands for 0 or {@code ±2^(k-1)}, k = 1..9: {@link #E3M0} with a wider range. */
    E4M0(8, Family.INTEGER, 256f),
    /** Two's complement 32-bit integer: token numbers, counters. Never an operand of a product. */
    INT32(32, Family.INDEX, Integer.MAX_VALUE);

    /** Which arithmetic multiplies an element. */
    public enum Family {
        /** Values are their own codes; a product is one chain of FP32 fused multiply-adds. */
        FLOAT,
        /** 8-bit floats, decoded exactly; chains of at most 128 products, then scaled. */
        FP8,
        /** Integer codes; products are exact integers, then scaled. */
        INTEGER,
        /** Not an operand format. */
        INDEX
    }

    private final int bits;
    private final Family family;
    private final float top;

    DType(int bits, Family family, float top) {
        this.bits = bits;
        this.family = family;
        this.top = top;
    }

    /** {@return bits of one element: 4, 8, 16 or 32} */
    public int bits() {
        return bits;
    }

    /** {@return whether two elements share a byte} */
    public boolean packed() {
        return bits == 4;
    }

    /**
     * {@return elements from one row to the next in memory} Rows of a packed format begin on a byte.
     *
     * @param cols columns of the matrix
     */
    public long pitch(long cols) {
        return packed() ? cols + (cols & 1) : cols;
    }

    /** {@return bytes of a tensor on a host: rows of {@link #pitch} elements} */
    public long bytes(Shape shape) {
        return packed() ? shape.rows() * pitch(shape.cols()) / 2 : shape.elements() * (bits / 8);
    }

    /** {@return which arithmetic multiplies an element} */
    public Family family() {
        return family;
    }

    /** {@return the largest value that a code stands for at scale 1} */
    public float top() {
        return top;
    }

    /** {@return the name used in reports and files: {@code int8}, {@code e4m3}, …} */
    public String label() {
        return name().toLowerCase(Locale.ROOT);
    }
}
