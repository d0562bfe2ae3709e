package dev.nibble.quant.int4;

import dev.nibble.gemm.Sampling;
import dev.nibble.quant.SplitMode;
import dev.nibble.spi.OptionValues;

/**
 * What all layers have in common.
 *
 * @param split how dY becomes two digits
 * @param sampling which rows of dY enter its products
 * @param coldStart training steps in which the steps of X and W come from the batch
 * @param learnSteps whether they are learned after that
 * @param stepRate relative change of a learned step, in units of the learning rate
 */
record Int4Settings(SplitMode split, Sampling sampling, int coldStart, boolean learnSteps, float stepRate) {
    Int4Settings {
        if (coldStart < 1) {
            throw new IllegalArgumentException("option coldStart is " + coldStart + ", but must be at least 1");
        }
        if (!(stepRate >= 0 && Float.isFinite(stepRate))) {
            throw new IllegalArgumentException(
                    "option stepRate is " + stepRate + ", but must be finite and at least 0");
        }
    }

    static Int4Settings parse(OptionValues options) {
        SplitMode split = options.text("split").equals("r") ? SplitMode.RELEASED : SplitMode.UNBIASED;
        Sampling sampling = switch (options.text("sampling")) {
            case "z" -> Sampling.NONZERO_ROWS;
            case "none" -> Sampling.NONE;
            default -> Sampling.LEVERAGE;
        };
        return new Int4Settings(split, sampling, options.integer("coldStart"), options.flag("learnSteps"), (float)
                options.number("stepRate"));
    }
}
