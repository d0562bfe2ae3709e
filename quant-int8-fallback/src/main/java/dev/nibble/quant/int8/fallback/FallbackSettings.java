package dev.nibble.quant.int8.fallback;

import dev.nibble.quant.Criterion;
import dev.nibble.quant.Granularity;
import dev.nibble.quant.TensorCodec;
import dev.nibble.spi.OptionValues;
import java.util.Optional;

/**
 * How blocks fall back.
 *
 * @param block which codes share a scale
 * @param criterion what of a block is compared with the threshold
 * @param threshold how the threshold is found
 * @param downOnly whether only the layers named {@code mlp.down} fall back
 * @param residualInGradWeight whether the weight gradient uses the residual
 * @param context how the operations before the layers keep their inputs
 * @param rateMin rate below which the threshold sinks
 * @param rateMax rate above which it rises
 * @param alpha factor of one change
 * @param flipDamping whether alpha shrinks to its root when the direction flips
 */
record FallbackSettings(
        Granularity.PerBlock block,
        Criterion criterion,
        ThresholdMode threshold,
        boolean downOnly,
        boolean residualInGradWeight,
        Optional<TensorCodec> context,
        float rateMin,
        float rateMax,
        float alpha,
        boolean flipDamping) {
    /** How the threshold is found. */
    enum ThresholdMode {
        /** A state that follows the measured rate. */
        DELAYED,
        /** The quantile of each input itself. */
        EXACT,
        /** As delayed, and never more than rateMax of the blocks. */
        CAPPED,
        /** Infinity. */
        OFF,
        /** Below every block's metric. */
        ALL;

        /** {@return whether the controller moves a state} */
        boolean controlled() {
            return this == DELAYED || this == CAPPED;
        }
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
        return new FallbackSettings(
                BlockOption.parse(options),
                criterion(options.text("criterion")),
                threshold(options.text("threshold")),
                options.text("fallbackLayers").equals("down"),
                options.flag("residualInGradWeight"),
                ContextOption.parse(options),
                (float) options.number("rateMin"),
                (float) options.number("rateMax"),
                (float) options.number("alpha"),
                options.flag("flipDamping"));
    }

    private static Criterion criterion(String name) {
        return switch (name) {
            case "l1" -> Criterion.L1;
            case "l1-rel" -> Criterion.L1_RELATIVE;
            default -> Criterion.ABSMAX;
        };
    }

    private static ThresholdMode threshold(String name) {
        return switch (name) {
            case "exact" -> ThresholdMode.EXACT;
            case "capped" -> ThresholdMode.CAPPED;
            case "off" -> ThresholdMode.OFF;
            case "all" -> ThresholdMode.ALL;
            default -> ThresholdMode.DELAYED;
        };
    }

    /** {@return the share of blocks that is aimed at: the middle of the window} */
    double rate() {
        return (rateMin + rateMax) / 2.0;
    }
}
