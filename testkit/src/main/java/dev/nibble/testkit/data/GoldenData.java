package dev.nibble.testkit.data;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.zip.CRC32;

/**
 * Data that anyone can make again in any language, and its checksums: codes and scales that were computed apart from this
 * code are compared by them.
 *
 * <p>The generator: {@code int s = seed}; an element is the sum of four steps {@code s = s·1664525 + 1013904223; sum += s
 * >>> 16}, then {@code (float) (sum - 131070) / 37837f}: nearly normal, and bounded.
 */
public final class GoldenData {
    /** Seed of the three data sets. */
    public static final int SEED = 12345;

    /** Rows of the three data sets. */
    public static final int ROWS = 256;

    /** Columns of the three data sets. */
    public static final int COLS = 1024;

    private static final int OUTLIER_COLUMN = 7;
    private static final int STEPS = 4;

    private GoldenData() {}

    /** {@return elements in the order they are made, row-major} */
    public static Matrix generate(int seed, int rows, int cols) {
        Matrix matrix = Matrix.zeros(rows, cols);
        int s = seed;
        for (int i = 0; i < matrix.values().length; i++) {
            int sum = 0;
            for (int step = 0; step < STEPS; step++) {
                s = s * 1664525 + 1013904223;
                sum += s >>> 16;
            }
            matrix.values()[i] = (float) (sum - 131070) / 37837f;
        }
        return matrix;
    }

    /** {@return data set 1: {@link #generate} as it is, [256, 1024]; CRC 1CA78C8D, amax 0x1.acbaa8p1} */
    public static Matrix plain() {
        return generate(SEED, ROWS, COLS);
    }

    /** {@return data set 2: column 7 multiplied by 100; CRC 645F1F3E, amax 0x1.debb82p7} */
    public static Matrix withOutliers() {
        return plain().map((_, col, value) -> col == OUTLIER_COLUMN ? value * 100f : value);
    }

    /**
     * {@return data set 3: element [r, c] times (1 + c/100), then times 2^-(7r mod 29), integer division, two products in FP32;
     * CRC 544553B4, amax 0x1.f6640ap4} Rows and columns of very different size.
     */
    public static Matrix ofManySizes() {
        return plain().map((row, col, value) -> value * (float) (1 + col / 100) * Math.scalb(1f, -(7 * row % 29)));
    }

    /** {@return the CRC-32 of bytes, in eight hexadecimal digits} */
    public static String crc(byte[] bytes) {
        CRC32 crc = new CRC32();
        crc.update(bytes);
        return "%08X".formatted(crc.getValue());
    }

    /** {@return the CRC-32 of values as little-endian FP32} */
    public static String crc(float[] values) {
        ByteBuffer bytes = ByteBuffer.allocate(Math.multiplyExact(Float.BYTES, values.length))
                .order(ByteOrder.LITTLE_ENDIAN);
        for (float value : values) {
            bytes.putFloat(value);
        }
        return crc(bytes.array());
    }
}
