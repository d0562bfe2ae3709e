package dev.nibble.quant;

import dev.nibble.tensor.Shape;
import java.util.List;

/**
 * How a tensor is stored that no product multiplies: what an operation keeps from the forward for the backward pass. Runs of
 * {@link #GROUP} elements along the last axis are a group; the last group of a row may be shorter.
 *
 * <p>{@link #BF16}: a code is {@link dev.nibble.tensor.Bf16#encode} of the element, without a scale.
 *
 * <p>Integers: the elements of a group share a scale. With {@code top = 2^(bits-1) - 1}: {@code scale = amax / top; code = rint(x · (top / amax)); x ≈ code · scale}, both
 * quotients rounded to FP32, the scale one ulp less where {@code scale · top} would overflow. A group whose amax is below
 * 2^-119, or so small that {@code top / amax} overflows, decodes to zeros; one that holds NaN or infinity decodes to NaN. Of any other group
 * {@code |x - decoded| <= scale · (1/2 + top · 2^-22)}.
 *
 * <p>A row of codes is stored group after group. A group of n codes, two's complement, takes n bytes with their low 8 bits,
 * then {@code ceil(n / p)} bytes with their high {@code h = bits - 8} bits, {@code p = 8 / h} codes a byte: byte j holds codes j,
 * j + ceil(n / p), j + 2 · ceil(n / p), …, lowest bits first. So four codes of 10 bits take 5 bytes, two of 12 bits take 3.
 *
 * @param form what a code is
 * @param bits of a code: 8, 10, 12 or 16; 16 for BF16
 */
public record TensorCodec(Form form, int bits) {
    /** What a code is. */
    public enum Form {
        /** An integer that stands for a multiple of its group's scale. */
        INTEGER,
        /** A BF16. */
        BF16
    }

    private static final List<Integer> WIDTHS = List.of(8, 10, 12, 16);

    /** Elements of a row that share a scale, or whose codes lie side by side. */
    public static final int GROUP = 128;

    /** Each element in BF16: {@code |x - decoded| <= 2^-8 · |x|} of a normal x that rounds to a finite one. */
    public static final TensorCodec BF16 = new TensorCodec(Form.BF16, 16);

    /** Makes a codec of integers. */
    public TensorCodec(int bits) {
        this(Form.INTEGER, bits);
    }

    /** Checks the width. */
    public TensorCodec {
        if (!WIDTHS.contains(bits)) {
            throw new IllegalArgumentException("bits is " + bits + ", but must be one of " + WIDTHS);
        }
        if (form == Form.BF16 && bits != 16) {
            throw new IllegalArgumentException("bits is " + bits + ", but a bf16 has 16");
        }
    }

    /** {@return whether groups have scales} */
    public boolean scaled() {
        return form == Form.INTEGER;
    }

    /** {@return the largest integer code} */
    public int top() {
        return (1 << (bits - 1)) - 1;
    }

    /** {@return bits of a code that do not fit into its low byte} */
    public int highBits() {
        return bits - 8;
    }

    /** {@return the number of bytes with high bits in a group of this many codes} */
    public int highBytes(int codes) {
        return highBits() == 0 ? 0 : Math.ceilDiv(codes, 8 / highBits());
    }

    /** {@return groups of a row with this many elements} */
    public long groups(long cols) {
        return Math.ceilDiv(cols, GROUP);
    }

    /** {@return scales of a row with this many elements} */
    public long scales(long cols) {
        return scaled() ? groups(cols) : 0;
    }

    /** {@return bytes of the codes of a row with this many elements} */
    public long rowBytes(long cols) {
        int last = (int) (cols % GROUP);
        return cols / GROUP * (GROUP + highBytes(GROUP)) + last + highBytes(last);
    }

    /** {@return bytes of an encoded tensor: its codes and FP32 scales} */
    public long bytes(Shape shape) {
        return shape.rows() * (rowBytes(shape.cols()) + scales(shape.cols()) * Float.BYTES);
    }
}
