package dev.nibble.quant.luq;

import java.util.SplittableRandom;

/** Tensors for tests, by seed. */
final class Samples {
    private Samples() {}

    /** {@return normal numbers} */
    static float[] normal(long seed, int length, double deviation) {
        SplittableRandom random = new SplittableRandom(seed);
        float[] x = new float[length]; // [length]
        for (int i = 0; i < length; i++) {
            x[i] = (float) (deviation * random.nextGaussian());
        }
        return x;
    }

    /** {@return numbers of either sign whose logarithm is normal: what neural gradients look like} */
    static float[] logNormal(long seed, int length, double deviation) {
        SplittableRandom random = new SplittableRandom(seed);
        float[] x = new float[length]; // [length]
        for (int i = 0; i < length; i++) {
            double magnitude = Math.exp(deviation * random.nextGaussian());
            x[i] = (float) (random.nextBoolean() ? magnitude : -magnitude);
        }
        return x;
    }

    static float amax(float[] x) {
        float amax = 0;
        for (float v : x) {
            amax = Math.max(amax, Math.abs(v));
        }
        return amax;
    }

    /** {@return the law of LUQ in units of its scale: the variance of the code of |x| / scale = t} */
    static double variance(double t) {
        if (t < 1) {
            return t * (1 - t);
        }
        double power = Math.scalb(1.0, Math.getExponent(t));
        return (t - power) * (2 * power - t);
    }
}
