package dev.nibble.testkit;

import dev.nibble.tensor.DType;

/** The variance of the value that a draw gives an element. */
@FunctionalInterface
public interface Variance {
    /**
     * {@return the variance of the value}
     *
     * @param x the element, finite and in range
     * @param scales its scale in each plane, [planes]
     */
    double of(float x, float[] scales);

    /** {@return the variance of integer codes, s²·p·(1 - p) with p the fraction of x / s} */
    static Variance integers() {
        return (x, scales) -> {
            double t = (double) x / scales[0];
            double p = t - Math.floor(t);
            return scales[0] * (double) scales[0] * p * (1 - p);
        };
    }

    /**
     * {@return the variance of 0 and powers of two from the scale on: with t = |x| / s, {@code s²·t·(1 - t)} below 1, else
     * {@code s²·4^e·(m - 1)·(2 - m)} with t = m·2^e and m in [1, 2)} (LUQ, Chmiel et al., arXiv:2112.10769)
     */
    static Variance powersOfTwo() {
        return (x, scales) -> {
            double s = scales[0];
            double t = Math.abs(x) / s;
            if (t < 1) {
                return s * s * t * (1 - t);
            }
            double power = Math.scalb(1.0, Math.getExponent(t));
            return s * s * (t - power) * (2 * power - t);
        };
    }

    /** {@return the variance of an 8-bit float, (unit·s)²·p·(1 - p) with p the fraction of |x| / s in units of its last place} */
    static Variance floats(DType format) {
        return (x, scales) -> {
            double t = Math.abs((double) x) / scales[0];
            double unit = unit(format, t);
            double p = t / unit - Math.floor(t / unit);
            return Math.pow(unit * scales[0], 2) * p * (1 - p);
        };
    }

    /**
     * {@return the distance of a code's neighbours at scale 1}
     *
     * @param format E4M3 or E5M2
     * @param magnitude not negative
     */
    static double unit(DType format, double magnitude) {
        int mantissa = format == DType.E4M3 ? 3 : 2;
        int smallestExponent = format == DType.E4M3 ? -6 : -14;
        return Math.scalb(1.0, Math.max(Math.getExponent(magnitude), smallestExponent) - mantissa);
    }

    /** {@return this variance with the scale of another plane for that of the first} */
    default Variance at(int plane) {
        return (x, scales) -> of(x, new float[] {scales[plane]});
    }

    /** {@return the variance of the mean of as many independent draws as there are planes} */
    default Variance averaged() {
        return (x, scales) -> of(x, scales) / scales.length;
    }
}
