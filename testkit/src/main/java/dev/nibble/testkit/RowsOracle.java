package dev.nibble.testkit;

import static dev.nibble.testkit.Expected.U;
import static dev.nibble.testkit.Expected.VANISHED;
import static dev.nibble.testkit.data.FloatError.gamma;

import dev.nibble.testkit.data.Matrix;

/** Rows without their means, rows plus a vector, sums of rows, and GELU, in FP64, with bounds for sums in any order. */
final class RowsOracle {
    private static final double GELU_ERROR = 1e-7; // of the polynomial, in x · Φ(x)
    private static final double PHI_ERROR = 1.5e-7; // of the polynomial, in Φ(x)
    // magnitudes of the coefficients of the logit's polynomial, with two digits, rounded up: what its roundings are
    // relative to
    private static final double[] COEFFICIENTS = {1.6, 0.073, 6.7e-5, 1.2e-4, 8e-6, 2.7e-7, 3.7e-9}; // [7]
    private static final double FAR = 9; // beyond, Φ is 0 or 1 within 1e-18

    private RowsOracle() {}

    /** {@return x without the means of its rows} width additions and the quotient, then the difference. */
    static Expected centered(Matrix x) {
        int width = x.cols();
        Expected y = Expected.zeros(x.values().length);
        for (int row = 0; row < x.rows(); row++) {
            double sum = 0;
            double sizes = 0;
            for (int col = 0; col < width; col++) {
                sum += x.at(row, col);
                sizes += Math.abs(x.at(row, col));
            }
            for (int col = 0; col < width; col++) {
                int i = row * width + col;
                y.value()[i] = x.at(row, col) - sum / width;
                y.bound()[i] = sizes / width * gamma(width + 2) * (1 + U) + U * Math.abs(y.value()[i]);
            }
        }
        return y;
    }

    /** {@return x with a vector added to each row} */
    static Expected added(Matrix x, float[] vector) {
        Expected y = Expected.zeros(x.values().length);
        for (int i = 0; i < x.values().length; i++) {
            y.value()[i] = (double) x.values()[i] + vector[i % x.cols()];
            y.bound()[i] = U * Math.abs(y.value()[i]);
        }
        return y;
    }

    /** {@return a vector to which all rows were added} */
    static Expected sums(Matrix x, float[] before) {
        Expected y = Expected.zeros(before.length);
        for (int col = 0; col < before.length; col++) {
            double sizes = Math.abs(before[col]);
            y.value()[col] = before[col];
            for (int row = 0; row < x.rows(); row++) {
                y.value()[col] += x.at(row, col);
                sizes += Math.abs(x.at(row, col));
            }
            y.bound()[col] = sizes * gamma(x.rows() + 2);
        }
        return y;
    }

    private static double density(double x) {
        return Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI);
    }

    /** {@return Φ(x)} 1/2 + φ(x) · (x + x³/3 + x⁵/15 + …), Abramowitz and Stegun 26.2.11: all terms have one sign. */
    private static double phi(double x) {
        if (Math.abs(x) > FAR) {
            return x > 0 ? 1 : 0;
        }
        double term = x;
        double sum = x;
        for (int k = 1; k < 300; k++) {
            term *= x * x / (2 * k + 1);
            sum += term;
        }
        return 0.5 + density(x) * sum;
    }

    /**
     * {@return how far the sigmoid may be from Φ(x), but for the error of the polynomial} 16 roundings at most for each term of the
     * logit; their effect is that of the slope, s·(1 - s) ≤ e^-|logit|, at the nearer end. Then 4 roundings of the sigmoid.
     */
    private static double sigmoidError(double x, double phi) {
        double power = Math.abs(x);
        double sizes = 0;
        for (double coefficient : COEFFICIENTS) {
            sizes += coefficient * power;
            power *= x * x;
        }
        double off = sizes * gamma(16);
        double logit = phi <= 0 || phi >= 1 ? Math.abs(x) * FAR / 2 : Math.abs(Math.log(phi / (1 - phi)));
        double slope = Math.min(0.25, Math.exp(-Math.max(0, logit - off)));
        return off * slope + 5 * U * phi + VANISHED;
    }

    /** {@return x · Φ(x)} */
    static Expected gelu(Matrix x) {
        Expected y = Expected.zeros(x.values().length);
        for (int i = 0; i < x.values().length; i++) {
            double v = x.values()[i];
            double phi = phi(v);
            y.value()[i] = v * phi;
            y.bound()[i] =
                    GELU_ERROR + Math.abs(v) * sigmoidError(v, phi) * (1 + 2 * U) + 2 * U * Math.abs(y.value()[i]);
        }
        return y;
    }

    /** {@return the gradient of x} The exponent has 2 roundings, the exponential 2, its products 2, the sum and its product 1 each. */
    static Expected geluBackward(Matrix dy, Matrix x) {
        Expected dx = Expected.zeros(x.values().length);
        for (int i = 0; i < x.values().length; i++) {
            double v = x.values()[i];
            double phi = phi(v);
            double slope = phi + v * density(v);
            double d = dy.values()[i];
            dx.value()[i] = d * slope;
            double bell = Math.abs(v) * density(v) * (v * v * U * 1.01 + 5 * U) + VANISHED * Math.abs(v);
            double off = PHI_ERROR + sigmoidError(v, phi) + bell;
            dx.bound()[i] = Math.abs(d) * (off + 3 * U * Math.abs(slope)) * (1 + 2 * U);
        }
        return dx;
    }
}
