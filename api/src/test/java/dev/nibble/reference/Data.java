package dev.nibble.reference;

import java.util.SplittableRandom;

/** Test matrices. */
final class Data {
    private Data() {}

    /** {@return approximately normal values: sums of four uniforms} */
    static float[] normal(long seed, int count) {
        SplittableRandom random = new SplittableRandom(seed);
        float[] x = new float[count];
        for (int i = 0; i < count; i++) {
            double sum = random.nextDouble() + random.nextDouble() + random.nextDouble() + random.nextDouble();
            x[i] = (float) ((sum - 2) * Math.sqrt(3));
        }
        return x;
    }

    /** {@return normal values, about one of {@code every} multiplied by 300} */
    static float[] withOutliers(long seed, int count, int every) {
        float[] x = normal(seed, count);
        SplittableRandom random = new SplittableRandom(seed + 1);
        for (int i = 0; i < count; i++) {
            if (random.nextInt(every) == 0) {
                x[i] *= 300;
            }
        }
        return x;
    }

    static float[] transpose(float[] x, int rows, int cols) {
        float[] transposed = new float[x.length]; // [cols, rows]
        for (int row = 0; row < rows; row++) {
            for (int col = 0; col < cols; col++) {
                transposed[col * rows + row] = x[row * cols + col];
            }
        }
        return transposed;
    }

    static float amax(float[] x) {
        float amax = 0;
        for (float value : x) {
            amax = Math.max(amax, Math.abs(value));
        }
        return amax;
    }
}
