package dev.nibble.quant.fp8;

import dev.nibble.testkit.data.GoldenData;

/** The conformance kit's data and checksums as arrays, and what is measured of a round trip. */
final class Golden {
    static final int ROWS = GoldenData.ROWS;
    static final int COLS = GoldenData.COLS;

    private Golden() {}

    static float[] generate(int seed, int count) {
        return GoldenData.generate(seed, 1, count).values(); // [count]
    }

    /** {@return data set 1: plain; 2: one large column; 3: rows and columns of very different size; [ROWS, COLS]} */
    static float[] data(int number) {
        return switch (number) {
            case 1 -> GoldenData.plain().values();
            case 2 -> GoldenData.withOutliers().values();
            default -> GoldenData.ofManySizes().values();
        };
    }

    static String crc(byte[] bytes) {
        return GoldenData.crc(bytes);
    }

    /** {@return the checksum of little-endian FP32} */
    static String crc(float[] values) {
        return GoldenData.crc(values);
    }

    /** {@return scales [kGroups, rowGroups] in the order of the goldens, [rowGroups, kGroups]} */
    static float[] rowMajor(float[] scales, int kGroups) {
        int rowGroups = scales.length / kGroups;
        float[] out = new float[scales.length]; // [rowGroups, kGroups]
        for (int i = 0; i < out.length; i++) {
            out[i] = scales[i % kGroups * rowGroups + i / kGroups];
        }
        return out;
    }

    /** {@return 10 log10 (sum x² / sum (value - x)²)} */
    static double sqnr(float[] x, float[] values) {
        double signal = 0;
        double noise = 0;
        for (int i = 0; i < x.length; i++) {
            signal += (double) x[i] * x[i];
            noise += Math.pow((double) values[i] - x[i], 2);
        }
        return 10 * Math.log10(signal / noise);
    }

    /** {@return mean of |value - x| / |x| over x that are not 0} */
    static double meanRelative(float[] x, float[] values) {
        double sum = 0;
        int count = 0;
        for (int i = 0; i < x.length; i++) {
            if (x[i] != 0) {
                sum += Math.abs((double) values[i] - x[i]) / Math.abs(x[i]);
                count++;
            }
        }
        return sum / count;
    }

    /** {@return elements that are not 0 with a value that is} */
    static int zeros(float[] x, float[] values) {
        int count = 0;
        for (int i = 0; i < x.length; i++) {
            count += x[i] != 0 && values[i] == 0 ? 1 : 0;
        }
        return count;
    }
}
