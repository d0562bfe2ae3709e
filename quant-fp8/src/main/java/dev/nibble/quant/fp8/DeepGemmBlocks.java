package dev.nibble.quant.fp8;

import dev.nibble.tensor.DType;
import dev.nibble.tensor.Fp8;

/**
 * A matrix in E4M3 with one FP32 scale for each 128 elements of a row, as DeepGEMM makes it: {@code scale = max(amax, 1e-4) / 448;
 * code = saturate(round(x · (1 / scale)))}. What is stored is the quotient itself, where {@code ScaleRule.TopOverAmax} stores the
 * reciprocal of 448 / amax; they differ in the last bit, and the bound makes a group zero whose amax is below 2e-10, as small
 * gradients are. So {@code scaling=1x128} is the other rule, and this a reference for numbers alone: no plane of the SPI has
 * these scales.
 *
 * @param codes [rows, cols]
 * @param scales [rows, ceil(cols / 128)]
 */
record DeepGemmBlocks(byte[] codes, float[] scales) {
    private static final int GROUP = 128;
    private static final float SMALLEST_AMAX = 1e-4f;

    /**
     * {@return a matrix in blocks} A block with NaN or infinity has codes NaN or 0, and a scale that is not finite.
     *
     * @param x [rows, cols], not modified
     */
    static DeepGemmBlocks of(float[] x, int rows, int cols) {
        int groups = Math.ceilDiv(cols, GROUP);
        byte[] codes = new byte[x.length]; // [rows, cols]
        float[] scales = new float[Math.multiplyExact(rows, groups)]; // [rows, groups]
        for (int row = 0; row < rows; row++) {
            for (int group = 0; group < groups; group++) {
                int from = row * cols + group * GROUP;
                int to = Math.min(from + GROUP, (row + 1) * cols);
                float amax = SMALLEST_AMAX;
                for (int i = from; i < to; i++) {
                    amax = Math.max(amax, Math.abs(x[i])); // NaN stays
                }
                float scale = amax / DType.E4M3.top();
                float multiplier = 1 / scale;
                for (int i = from; i < to; i++) {
                    codes[i] = Fp8.encode(DType.E4M3, x[i] * multiplier);
                }
                scales[row * groups + group] = scale;
            }
        }
        return new DeepGemmBlocks(codes, scales);
    }

    /** {@return what codes and scales mean, [rows, cols]} */
    float[] dequantize(int cols) {
        int groups = Math.ceilDiv(cols, GROUP);
        float[] values = new float[codes.length]; // [rows, cols]
        for (int i = 0; i < values.length; i++) {
            values[i] = Fp8.decode(DType.E4M3, codes[i]) * scales[i / cols * groups + i % cols / GROUP];
        }
        return values;
    }
}
