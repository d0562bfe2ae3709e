package dev.nibble.tensor;

import java.util.Locale;

/** How one element of a tensor is stored. Codes of low-bit formats are stored in exactly these bits. */
public enum DType {
    /** IEEE 754 binary32. */
    FP32(4, Family.FLOAT, Float.MAX_VALUE),
    /** The upper half of an FP32: 8 exponent and 7 mantissa bits. */
    BF16(2, Family.FLOAT, 0x1.fep127f),
    /** IEEE 754 binary16. */
    FP16(2, Family.FLOAT, 65504f),
    /** FP8 with 4 exponent and 3 mantissa bits, no infinity (arXiv:2209.05433). */
    E4M3(1, Family.FP8, 448f),
    /** FP8 with 5 exponent and 2 mantissa bits, IEEE specials (arXiv:2209.05433). */
    E5M2(1, Family.FP8, 57344f),
    /** Two's complement byte. As a code it is symmetric: -127..127, never -128. */
    INT8(1, Family.INTEGER, 127f),
    /** Two's complement 32-bit integer: token numbers, counters. Never an operand of a product. */
    INT32(4, Family.INDEX, Integer.MAX_VALUE);

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

    private final int byteSize;
    private final Family family;
    private final float top;

    DType(int byteSize, Family family, float top) {
        this.byteSize = byteSize;
        this.family = family;
        this.top = top;
    }

    /** {@return bytes of one element} */
    public int byteSize() {
        return byteSize;
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
