package dev.nibble.models.layers;

import java.util.function.ToDoubleFunction;

/** Compares gradients in FP32 with central differences of a function in FP64. */
final class GradientCheck {
    /** Half the distance between the two FP32 numbers around 1: the relative error of one rounding. */
    static final double UNIT_ROUNDOFF = 0x1p-24;

    private static final double H = 1e-5;

    private GradientCheck() {}

    /**
     * {@return (f(x + h) - f(x - h)) / 2h for each element} With f and its derivatives of order 1, the cut-off term
     * h²/6 · f''' is about 2e-11 and the rounding 2^-53 · f / h about 1e-11: both far below FP32's rounding.
     */
    static double[] centralDifferences(double[] at, ToDoubleFunction<double[]> f) {
        return centralDifferences(at, H, f);
    }

    /**
     * {@return the same with another h} A smaller one crosses fewer kinks of a ReLU; with 1e-7 the rounding is 1e-9, and the cut-off
     * vanishes.
     */
    static double[] centralDifferences(double[] at, double h, ToDoubleFunction<double[]> f) {
        double[] gradient = new double[at.length]; // [elements]
        double[] x = at.clone();
        for (int i = 0; i < x.length; i++) {
            x[i] = at[i] + h;
            double above = f.applyAsDouble(x);
            x[i] = at[i] - h;
            gradient[i] = (above - f.applyAsDouble(x)) / (2 * h);
            x[i] = at[i];
        }
        return gradient;
    }

    /**
     * Checks a gradient to {@code roundings · 2^-24 · max|gradient|}.
     *
     * <p>With R roundings on the longest path from a value to a gradient (a sum of n products counts n), independent
     * errors add up to about sqrt(R) · 2^-24 of the terms that enter the sums, and terms of random sign are larger than
     * their sum by at most about sqrt(R): together R · 2^-24 of the largest gradient.
     *
     * @return the largest error over that bound
     */
    static double worst(double[] expected, float[] actual, int roundings) {
        if (expected.length != actual.length) {
            throw new AssertionError(expected.length + " values expected, but there are " + actual.length);
        }
        double largest = 0;
        double error = 0;
        for (int i = 0; i < expected.length; i++) {
            largest = Math.max(largest, Math.abs(expected[i]));
            double difference = Math.abs(expected[i] - actual[i]);
            error = Double.isNaN(difference) ? Double.POSITIVE_INFINITY : Math.max(error, difference);
        }
        if (largest < 1e-4) {
            throw new AssertionError("the largest gradient is " + largest + ": too small to check anything");
        }
        return error / (roundings * UNIT_ROUNDOFF * largest);
    }
}
