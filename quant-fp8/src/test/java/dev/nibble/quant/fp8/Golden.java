package dev.nibble.quant.fp8;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.zip.CRC32;

/** Data that anyone can make again, their checksums, and what is measured of a round trip. */
final class Golden {
    static final int ROWS = 256;
    static final int COLS = 1024;

    private Golden() {}

    /** Sums of four steps of a linear congruential generator: nearly normal, bounded. */
    static float[] generate(int seed, int count) {
        int s = seed;
        float[] x = new float[count]; // [count]
        for (int i = 0; i < count; i++) {
            int sum = 0;
            for (int j = 0; j < 4; j++) {
                s = s * 1664525 + 1013904223;
                sum += s >>> 16;
            }
            x[i] = (float) (sum - 131070) / 37837f;
        }
        return x;
    }

    /** {@return data set 1: plain; 2: one large column; 3: rows and columns of very different size; [ROWS, COLS]} */
    static float[] data(int number) {
        float[] x = generate(12345, ROWS * COLS); // [ROWS, COLS]
        for (int row = 0; row < ROWS; row++) {
            for (int col = 0; col < COLS; col++) {
                int i = row * COLS + col;
                if (number == 2 && col == 7) {
                    x[i] *= 100f;
                } else if (number == 3) {
                    x[i] = x[i] * (float) (1 + col / 100) * Math.scalb(1f, -((7 * row) % 29));
                }
            }
        }
        return x;
    }

    static String crc(byte[] bytes) {
        CRC32 crc = new CRC32();
        crc.update(bytes);
        return "%08X".formatted(crc.getValue());
    }

    /** {@return the checksum of little-endian FP32} */
    static String crc(float[] values) {
        ByteBuffer bytes = ByteBuffer.allocate(Float.BYTES * values.length).order(ByteOrder.LITTLE_ENDIAN);
        for (float value : values) {
            bytes.putFloat(value);
        }
        return crc(bytes.array());
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
