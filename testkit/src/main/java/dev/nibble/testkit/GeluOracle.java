package dev.nibble.testkit;

import static dev.nibble.testkit.Expected.U;
import static dev.nibble.testkit.Expected.VANISHED;
import static dev.nibble.testkit.data.FloatError.gamma;

import dev.nibble.spi.Gelu;
import dev.nibble.testkit.data.Matrix;

/** GELU and its gradient in FP64, with bounds: {@code y = x · S(x)}, where S is Φ, or the sigmoid that stands for it. */
final class GeluOracle {
    private static final double GELU_ERROR = 1e-7; // of the exact form's polynomial, in x · Φ(x)
    private static final double PHI_ERROR = 1.5e-7; // of that polynomial, in Φ(x)
    // magnitudes of the coefficients of the logit's polynomial, with two digits, rounded up: what its roundings are
    // relative to
    private static final double[] COEFFICIENTS = {1.6, 0.073, 6.7e-5, 1.2e-4, 8e-6, 2.7e-7, 3.7e-9}; // [7]
    private static final double FAR = 9; // beyond, Φ is 0 or 1 within 1e-18
    private static final double SLOPE = 2 * Math.sqrt(2 / Math.PI); // of the logit of the form with tanh, at 0
    private static final double CUBIC = 0.044715;

    private final Gelu form;

    GeluOracle(Gelu form) {
        this.form = form;
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

    private static double tanhLogit(double x) {
        return SLOPE * (x + CUBIC * x * x * x);
    }

    private double share(double x) {
        return form == Gelu.EXACT ? phi(x) : 1 / (1 + Math.exp(-tanhLogit(x)));
    }

    /**
     * {@return how far the sigmoid may be from S, but for the error of the polynomial} Of the exact form, 16 roundings at most for each
     * term of the logit; of the other 4, the coefficient's among them, and its terms have one sign. Their effect is that of the slope,
     * s·(1 - s) ≤ e^-|logit|, at the nearer end. Then 4 roundings of the sigmoid.
     */
    private double shareError(double x, double share) {
        double off;
        double logit;
        if (form == Gelu.EXACT) {
            double power = Math.abs(x);
            double sizes = 0;
            for (double coefficient : COEFFICIENTS) {
                sizes += coefficient * power;
                power *= x * x;
            }
            off = sizes * gamma(16);
            logit = share <= 0 || share >= 1 ? Math.abs(x) * FAR / 2 : Math.abs(Math.log(share / (1 - share)));
        } else {
            logit = Math.abs(tanhLogit(x));
            off = logit * gamma(4);
        }
        double slope = Math.min(0.25, Math.exp(-Math.max(0, logit - off)));
        return off * slope + 5 * U * share + VANISHED;
    }

    /** {@return y} */
    Expected forward(Matrix x) {
        double polynomial = form == Gelu.EXACT ? GELU_ERROR : 0;
        Expected y = Expected.zeros(x.values().length);
        for (int i = 0; i < x.values().length; i++) {
            double v = x.values()[i];
            double share = share(v);
            y.value()[i] = v * share;
            y.bound()[i] =
                    polynomial + Math.abs(v) * shareError(v, share) * (1 + 2 * U) + 2 * U * Math.abs(y.value()[i]);
        }
        return y;
    }

    /** {@return the gradient of x} */
    Expected backward(Matrix dy, Matrix x) {
        Expected dx = Expected.zeros(x.values().length);
        for (int i = 0; i < x.values().length; i++) {
            double v = x.values()[i];
            double share = share(v);
            double bell = v * (form == Gelu.EXACT ? density(v) : share * (1 - share) * logitSlope(v));
            double slope = share + bell;
            double d = dy.values()[i];
            double off = form == Gelu.EXACT ? exactSlopeError(v, share) : tanhSlopeError(v, share, bell);
            dx.value()[i] = d * slope;
            dx.bound()[i] = Math.abs(d) * (off + 3 * U * Math.abs(slope)) * (1 + 2 * U);
        }
        return dx;
    }

    /** The exponent has 2 roundings, the exponential 2, its products 2. */
    private double exactSlopeError(double x, double phi) {
        double bell = Math.abs(x) * density(x) * (x * x * U * 1.01 + 5 * U) + VANISHED * Math.abs(x);
        return PHI_ERROR + shareError(x, phi) + bell;
    }

    private static double logitSlope(double x) {
        return SLOPE * (1 + 3 * CUBIC * x * x);
    }

    /**
     * An error of S moves S·(1 - S) by as much at most, and that is multiplied by x and the slope of the logit. Besides, 1 - S and its
     * product have a rounding each, x one, x² two, coefficient, product and sum three: 8 of the whole term; the inner sum rounds S once.
     */
    private double tanhSlopeError(double x, double share, double bell) {
        double moved = shareError(x, share) * (1 + Math.abs(x) * logitSlope(x));
        return moved * 1.01 + gamma(8) * Math.abs(bell) + U * share + VANISHED * (1 + Math.abs(x) + x * x);
    }
}
