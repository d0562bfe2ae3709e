package dev.nibble.reference;

import java.util.SplittableRandom;
import java.util.function.ToDoubleFunction;

/** Numbers for gradient checks: random data and central differences in FP64. */
final class Differences {
    /** Half of an FP32 ulp of 1: the relative error of one rounding. */
    static final double U = 0x1p-24;

    /** Step of the differences: its truncation, h²/6 = 2e-11 of a third derivative, is far below FP32 rounding. */
    static final double H = 1e-5;

    private Differences() {}

    static float[] normal(SplittableRandom random, int length, double sigma) {
        float[] x = new float[length]; // [length]
        for (int i = 0; i < length; i++) {
            x[i] = (float) (sigma * random.nextGaussian());
        }
        return x;
    }

    static double[] widen(float[] x) {
        double[] y = new double[x.length]; // [length]
        for (int i = 0; i < x.length; i++) {
            y[i] = x[i];
        }
        return y;
    }

    /** {@return the derivative of {@code f} at {@code x} by element {@code i}} */
    static double derivative(ToDoubleFunction<double[]> f, double[] x, int i) {
        double[] moved = x.clone(); // [length]
        moved[i] = x[i] + H;
        double up = f.applyAsDouble(moved);
        moved[i] = x[i] - H;
        return (up - f.applyAsDouble(moved)) / (2 * H);
    }
}
