package dev.nibble.quant.int8.fallback;

import dev.nibble.quant.Granularity;
import dev.nibble.spi.OptionValues;

/**
 * How blocks fall back.
 *
 * @param block which codes share a scale
 * @param threshold how the threshold is found
 * @param residualInGradWeight whether the weight gradient uses the residual
 * @param rateMin rate below which the threshold sinks
 * @param rateMax rate above which it rises
 * @param alpha factor of one change
 * @param flipDamping whether alpha shrinks to its root when the direction flips
 */
record FallbackSettings(
        Granularity.PerBlock block,
        ThresholdMode threshold,
        boolean residualInGradWeight,
        float rateMin,
        float rateMax,
        float alpha,
        boolean flipDamping) {
    /** How the threshold is found. */
    enum ThresholdMode {
        DELAYED,
        OFF,
        ALL
    }

    FallbackSettings {
        if (!(rateMin >= 0 && rateMin < rateMax && rateMax <= 1)) {
            throw new IllegalArgumentException("options rateMin and rateMax are " + rateMin + " and " + rateMax
                    + ", but need 0 <= rateMin < rateMax <= 1");
        }
        if (!(alpha > 1 && Float.isFinite(alpha))) {
            throw new IllegalArgumentException("option alpha is " + alpha + ", but must be above 1");
        }
    }

    static FallbackSettings parse(OptionValues options) {
        ThresholdMode mode = switch (options.text("threshold")) {
            case "off" -> ThresholdMode.OFF;
            case "all" -> ThresholdMode.ALL;
            default -> ThresholdMode.DELAYED;
        };
        return new FallbackSettings(
                BlockOption.parse(options),
                mode,
                options.flag("residualInGradWeight"),
                (float) options.number("rateMin"),
                (float) options.number("rateMax"),
                (float) options.number("alpha"),
                options.flag("flipDamping"));
    }
}
