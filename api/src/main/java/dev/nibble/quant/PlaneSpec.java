package dev.nibble.quant;

import dev.nibble.tensor.DType;

/**
 * One summand of an operand.
 *
 * @param source what it represents
 * @param format how its codes are stored
 * @param granularity which codes share a scale
 * @param scaleRule how a scale arises
 * @param rounding how a value becomes a code
 */
public record PlaneSpec(
        PlaneSource source, DType format, Granularity granularity, ScaleRule scaleRule, Rounding rounding) {
    /** Rejects formats that cannot be an operand. */
    public PlaneSpec {
        if (format.family() == DType.Family.INDEX) {
            throw new IllegalArgumentException(format.label() + " cannot be the format of an operand");
        }
        if (format.family() == DType.Family.INTEGER && scaleRule instanceof ScaleRule.Unit) {
            throw new IllegalArgumentException(format.label() + " codes need a scale rule other than Unit");
        }
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
}
