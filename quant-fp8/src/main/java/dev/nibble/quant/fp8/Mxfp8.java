package dev.nibble.quant.fp8;

import dev.nibble.tensor.DType;
import dev.nibble.tensor.Fp8;

/**
 * A matrix in MXFP8: E4M3 codes, and one E8M0 scale for each 32 elements of a row. The plain form that other
 * implementations are compared with: no plane of the SPI has E8M0 scales yet. Sources: the OCP microscaling formats; the
 * recipe of TransformerEngine.
 *
 * @param codes [rows, cols]
 * @param exponents E8M0, [rows, ceil(cols / 32)]: value = decode(code) · 2^(exponent - 127)
 */
record Mxfp8(byte[] codes, byte[] exponents) {
    private static final int GROUP = 32;
    private static final int LARGEST_EXPONENT = 8; // of E4M3: 448 = 1.75 · 2^8
    private static final float RECIPROCAL_TOP = 1 / 448f;

    /** How the scale of a group arises from its amax. */
    enum Mode {
        /** {@code 2^(floor(log2 amax) - 8)}, at least 2^-127: the top of a group may saturate (OCP). */
        FLOOR,
        /** {@code amax · (1/448)}, rounded up to a power of two: nothing saturates (TransformerEngine). */
        RCEIL
    }

    /**
     * {@return a matrix in MXFP8} {@code code = saturate(round(x · 2^(127-exponent)))}. A group of zeros has exponent 0 and codes
     * 0. One with NaN is NaN; so is one with infinity in mode FLOOR, while RCEIL takes the largest scale, at which its
     * largest code means infinity in FP32.
     *
     * @param x [rows, cols], not modified
     */
    static Mxfp8 of(float[] x, int rows, int cols, Mode mode) {
        int groups = Math.ceilDiv(cols, GROUP);
        byte[] codes = new byte[x.length]; // [rows, cols]
        byte[] exponents = new byte[Math.multiplyExact(rows, groups)]; // [rows, groups]
        for (int row = 0; row < rows; row++) {
            for (int group = 0; group < groups; group++) {
                int from = row * cols + group * GROUP;
                int to = Math.min(from + GROUP, (row + 1) * cols);
                float amax = 0;
                for (int i = from; i < to; i++) {
                    amax = Math.max(amax, Math.abs(x[i])); // NaN stays
                }
                int exponent = exponent(amax, mode);
                float multiplier = E8m0.reciprocal(exponent);
                for (int i = from; i < to; i++) {
                    codes[i] = Fp8.encode(DType.E4M3, x[i] * multiplier);
                }
                exponents[row * groups + group] = (byte) exponent;
            }
        }
        return new Mxfp8(codes, exponents);
    }

    private static int exponent(float amax, Mode mode) {
        if (mode == Mode.RCEIL) {
            return E8m0.roundUp(amax * RECIPROCAL_TOP);
        }
        int floor = E8m0.roundDown(amax);
        return floor == E8m0.NAN ? floor : Math.max(0, floor - LARGEST_EXPONENT);
    }

    /** {@return the scales in FP32, in the order of the exponents} */
    float[] scales() {
        float[] scales = new float[exponents.length]; // [rows, groups]
        for (int i = 0; i < scales.length; i++) {
            scales[i] = E8m0.decode(exponents[i] & 0xFF);
        }
        return scales;
    }

    /** {@return what codes and scales mean, [rows, cols]} */
    float[] dequantize(int cols) {
        float[] scales = scales(); // [rows, groups]
        int groups = Math.ceilDiv(cols, GROUP);
        float[] values = new float[codes.length]; // [rows, cols]
        for (int i = 0; i < values.length; i++) {
            values[i] = Fp8.decode(DType.E4M3, codes[i]) * scales[i / cols * groups + i % cols / GROUP];
        }
        return values;
    }
}
