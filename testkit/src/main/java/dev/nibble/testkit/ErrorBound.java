package dev.nibble.testkit;

import dev.nibble.tensor.DType;
import dev.nibble.testkit.data.FloatError;

/**
 * How far the value of codes may be from the element that they stand for. Where the tensor is transformed first, the element
 * is that of the transformed tensor.
 */
@FunctionalInterface
public interface ErrorBound {
    /** Scale, multiplier and x · multiplier are each rounded once. */
    double ROUNDINGS = 3 * FloatError.U;

    /**
     * {@return the largest |x - value|}
     *
     * @param x the element, finite
     * @param scales its scale in each plane, [planes]; 0 where a residual is absent, 1 where a plane is unscaled
     */
    double of(float x, float[] scales);

    /** {@return the bound of formats that keep x as it is} */
    static ErrorBound exact() {
        return (_, _) -> 0;
    }

    /** {@return the bound of integer codes low..high, rounded to nearest: half a scale; what is out of range is clamped} */
    static ErrorBound nearest(int low, int high) {
        return (x, scales) -> integer(x, scales[0], 0.5, low, high);
    }

    /** {@return the bound of integer codes low..high, rounded stochastically: one scale; what is out of range is clamped} */
    static ErrorBound stochastic(int low, int high) {
        return (x, scales) -> integer(x, scales[0], 1, low, high);
    }

    private static double integer(float x, double scale, double step, int low, int high) {
        double beyond = Math.max(0, Math.max(x - high * scale, low * scale - x));
        int top = Math.max(high, -low);
        return beyond + scale * (step + top * ROUNDINGS) + FloatError.SMALLEST * (top + 1);
    }

    /**
     * {@return the bound of an 8-bit float, rounded to nearest: half a unit of its last place; what is out of range is
     * clamped}
     */
    static ErrorBound nearest(DType format) {
        return floating(format, 0.5);
    }

    /** {@return the bound of an 8-bit float, rounded stochastically: one unit of its last place} */
    static ErrorBound stochastic(DType format) {
        return floating(format, 1);
    }

    private static ErrorBound floating(DType format, double step) {
        return (x, scales) -> {
            double scale = scales[0];
            double magnitude = Math.abs(x);
            double beyond = Math.max(0, magnitude - format.top() * scale);
            // The power of two that x lies at is settled after x was scaled and rounded: at worst it is the next one.
            double unit = Variance.unit(format, magnitude / scale * (1 + ROUNDINGS));
            return beyond + step * unit * scale * (1 + ROUNDINGS) + ROUNDINGS * magnitude + FloatError.SMALLEST;
        };
    }

    /** {@return the bound of unscaled BF16: half a unit of its last place} */
    static ErrorBound bf16() {
        return (x, _) -> Math.max(Math.abs(x) * 0x1p-8, 0x1p-134);
    }

    /** {@return the bound of powers of two and 0, rounded stochastically: the distance between neighbours of x} */
    static ErrorBound powersOfTwo() {
        return (x, scales) -> Math.max(Math.abs(x), scales[0]) * (1 + ROUNDINGS) + FloatError.SMALLEST;
    }

    /** {@return this bound with the scale of another plane for that of the first} */
    default ErrorBound at(int plane) {
        return (x, scales) -> of(x, new float[] {scales[plane]});
    }

    /** {@return this bound where an operand or a block has no plane 1, and another, of plane 1, where it has one} */
    default ErrorBound orResidual(ErrorBound residual) {
        return (x, scales) -> scales.length == 1 || scales[1] == 0
                ? of(x, scales)
                : residual.of(0, new float[] {scales[1]}) + FloatError.U * Math.abs(x); // d = x - value is rounded once
    }
}
