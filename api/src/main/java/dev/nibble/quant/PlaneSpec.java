package dev.nibble.quant;

import dev.nibble.tensor.DType;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/**
 * One summand of an operand.
 *
 * @param source what it represents
 * @param format how its codes are stored
 * @param granularity which codes share a scale
 * @param scaleRule how a scale arises
 * @param rounding how a value becomes a code
 * @param overflow what becomes of values beyond the range of an FP8 format
 */
public record PlaneSpec(
        PlaneSource source,
        DType format,
        Granularity granularity,
        ScaleRule scaleRule,
        Rounding rounding,
        Overflow overflow) {
    /** Rejects formats that cannot be an operand. */
    public PlaneSpec {
        if (format.family() == DType.Family.INDEX) {
            throw new IllegalArgumentException(format.label() + " cannot be the format of an operand");
        }
        if (format.family() == DType.Family.INTEGER && scaleRule instanceof ScaleRule.Unit) {
            throw new IllegalArgumentException(format.label() + " codes need a scale rule other than Unit");
        }
        boolean fits = scaleRule.top(format) <= format.top() && scaleRule.bottom(format) >= lowest(format);
        if (!(scaleRule instanceof ScaleRule.Unit) && !fits) {
            throw new IllegalArgumentException(format.label() + " cannot hold the codes from "
                    + scaleRule.bottom(format) + " to " + scaleRule.top(format) + " of scale rule " + scaleRule);
        }
        if (scaleRule.needsWholeTensor() && !(granularity instanceof Granularity.PerTensor)) {
            throw new IllegalArgumentException(
                    "scale rule " + scaleRule + " gives one scale for a tensor, but the granularity is " + granularity);
        }
    }

    private static float lowest(DType format) {
        return format == DType.UINT4 ? 0 : -format.top();
    }

    /** Makes a plane that saturates. */
    public PlaneSpec(
            PlaneSource source, DType format, Granularity granularity, ScaleRule scaleRule, Rounding rounding) {
        this(source, format, granularity, scaleRule, rounding, Overflow.SATURATE);
    }

    /** {@return a plane that represents the tensor itself} */
    public static PlaneSpec value(DType format, Granularity granularity, ScaleRule scaleRule, Rounding rounding) {
        return new PlaneSpec(new PlaneSource.Value(), format, granularity, scaleRule, rounding);
    }

    /** {@return a plane that stores values unscaled in a float format} */
    public static PlaneSpec unscaled(DType format) {
        return value(format, new Granularity.PerTensor(), new ScaleRule.Unit(), Rounding.NEAREST_EVEN);
    }

    /** {@return the residual of {@code first} where its blocks are above the threshold, rounded to nearest} */
    public static PlaneSpec residual(PlaneSpec first, Threshold threshold) {
        return new PlaneSpec(
                new PlaneSource.Residual(threshold),
                first.format(),
                first.granularity(),
                new ScaleRule.AmaxOverTop(),
                Rounding.NEAREST_EVEN);
    }

    /** {@return the two INT4 digits of a tensor, upper first; one scale for the tensor each} */
    public static List<PlaneSpec> digits(SplitMode mode) {
        return Stream.of(true, false)
                .map(upper -> new PlaneSpec(
                        new PlaneSource.Digit(upper, mode),
                        DType.INT4,
                        new Granularity.PerTensor(),
                        new ScaleRule.AmaxOverTop(),
                        Rounding.STOCHASTIC))
                .toList();
    }

    /** {@return planes like this one, each a draw of its own} */
    public List<PlaneSpec> samples(int count) {
        return IntStream.range(0, count)
                .mapToObj(i ->
                        new PlaneSpec(new PlaneSource.Sample(i), format, granularity, scaleRule, rounding, overflow))
                .toList();
    }
}
