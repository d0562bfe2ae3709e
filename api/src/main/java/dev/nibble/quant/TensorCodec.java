package dev.nibble.quant;

import dev.nibble.tensor.Shape;
import java.util.List;

/**
 * How a tensor is stored that no product multiplies: what an operation keeps from the forward for the backward pass. Runs of
 * {@link #GROUP} elements along the last axis share a scale; the last run of a row may be shorter.
 *
 * <p>With {@code top = 2^(bits-1) - 1}: {@code scale = amax / top; code = rint(x · (top / amax)); x ≈ code · scale}, both
 * quotients rounded to FP32, the scale one ulp less where {@code scale · top} would overflow. A group whose amax is below
 * 2^-119, or so small that {@code top / amax} overflows, decodes to zeros; one that holds NaN or infinity decodes to NaN. Of any other group
 * {@code |x - decoded| <= scale · (1/2 + top · 2^-22)}.
 *
 * <p>A row of codes is stored group after group. A group of n codes, two's complement, takes n bytes with their low 8 bits,
 * then {@code ceil(n / p)} bytes with their high {@code h = bits - 8} bits, {@code p = 8 / h} codes a byte: byte j holds codes j,
 * j + ceil(n / p), j + 2 · ceil(n / p), …, lowest bits first. So four codes of 10 bits take 5 bytes, two of 12 bits take 3.
 *
 * @param bits of a code: 8, 10, 12 or 16
 */
public record TensorCodec(int bits) {
    /** Elements of a row that share a scale. */
    public static final int GROUP = 128;

    private static final List<Integer> WIDTHS = List.of(8, 10, 12, 16);

    /** Checks the width. */
    public TensorCodec {
        if (!WIDTHS.contains(bits)) {
            throw new IllegalArgumentException("bits is " + bits + ", but must be one of " + WIDTHS);
        }
    }

    /** {@return the largest code} */
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

    /** {@return scales of a row with this many elements} */
    public long scales(long cols) {
        return Math.ceilDiv(cols, GROUP);
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
