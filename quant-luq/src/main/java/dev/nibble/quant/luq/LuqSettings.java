package dev.nibble.quant.luq;

import dev.nibble.quant.Granularity;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.ScaleRule;
import dev.nibble.spi.OptionValues;
import dev.nibble.tensor.DType;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/**
 * What of LUQ can be chosen.
 *
 * @param exponent E: the codes of dY are 0 and ±1, ±2, …, ±2^E
 * @param samplesGradWeight draws of dY that the weight gradient averages
 * @param samplesGradInput draws of dY that the input gradient averages, the first of the same ones
 * @param hindsight share eta of the running maximum that an update keeps; empty if the maximum is the tensor's own
 * @param powerOfTwo whether the scale of dY is rounded up to a power of two
 * @param gradient how dY becomes codes
 * @param integers the grid of W and X
 * @param inputStaysQuantized whether X keeps its codes in fine-tuning steps
 */
record LuqSettings(
        int exponent,
        int samplesGradWeight,
        int samplesGradInput,
        Optional<Float> hindsight,
        boolean powerOfTwo,
        GradientMode gradient,
        IntegerMode integers,
        boolean inputStaysQuantized) {
    private static final int MOST_SAMPLES = 16; // a sample's number has four bits in the address of its draws
    private static final int LARGEST_NIBBLE_EXPONENT = 6; // a nibble holds 0 and seven powers of either sign
    private static final String OFF = "off";

    LuqSettings {
        List<String> problems = new ArrayList<>();
        requireSamples(problems, "samplesGradWeight", samplesGradWeight, gradient);
        requireSamples(problems, "samplesGradInput", samplesGradInput, gradient);
        if (hindsight.isPresent() && !gradient.powers()) {
            problems.add("option hindsight is " + hindsight.get() + ", but with gradQuant=" + label(gradient)
                    + " must be off: no maximum of powers of two is kept");
        }
        if (powerOfTwo && !gradient.powers()) {
            problems.add("option powerOfTwo is true, but with gradQuant=" + label(gradient)
                    + " must be false: its codes are no powers of two");
        }
        if (!problems.isEmpty()) {
            throw new IllegalArgumentException(String.join("; ", problems));
        }
    }

    private static void requireSamples(List<String> problems, String option, int samples, GradientMode gradient) {
        if (samples < 1 || samples > MOST_SAMPLES) {
            problems.add("option " + option + " is " + samples + ", but must be in 1.." + MOST_SAMPLES);
        } else if (samples > 1 && !gradient.random()) {
            problems.add("option " + option + " is " + samples + ", but with gradQuant=" + label(gradient)
                    + " must be 1: all samples would be equal");
        }
    }

    private static String label(GradientMode gradient) {
        return gradient.name().toLowerCase(Locale.ROOT).replace('_', '-');
    }

    static LuqSettings parse(OptionValues options) {
        return new LuqSettings(
                options.integer("exponent"),
                options.integer("samplesGradWeight"),
                options.integer("samplesGradInput"),
                hindsight(options.text("hindsight")),
                options.flag("powerOfTwo"),
                GradientMode.valueOf(constant(options.text("gradQuant"))),
                IntegerMode.valueOf(constant(options.text("intMode"))),
                options.text("fineTuneInput").equals("quantized"));
    }

    private static String constant(String value) {
        return value.toUpperCase(Locale.ROOT).replace('-', '_');
    }

    /** {@return the rule that takes the scale of powers of two from dY itself} */
    ScaleRule.AmaxOverPower ownMaximum() {
        return new ScaleRule.AmaxOverPower(exponent, powerOfTwo);
    }

    /** {@return one draw of dY} */
    PlaneSpec gradientPlane() {
        return switch (gradient) {
            case LUQ, RDNP, FP4_FLUSH, LOG_SR -> {
                ScaleRule own = ownMaximum();
                yield plane(
                        exponent > LARGEST_NIBBLE_EXPONENT ? DType.E4M0 : DType.E3M0,
                        hindsight.isPresent() ? HindsightMaximum.rule(own) : own);
            }
            case INT4_SR -> plane(DType.INT4, new ScaleRule.AmaxOverTop());
            case NONE -> PlaneSpec.unscaled(DType.FP32);
        };
    }

    private PlaneSpec plane(DType format, ScaleRule rule) {
        return PlaneSpec.value(format, new Granularity.PerTensor(), rule, gradient.rounding());
    }

    private static Optional<Float> hindsight(String text) {
        if (text.equals(OFF)) {
            return Optional.empty();
        }
        try {
            float eta = Float.parseFloat(text);
            if (eta >= 0 && eta < 1) {
                return Optional.of(eta);
            }
        } catch (NumberFormatException _) {
            // told below, as a number out of range is
        }
        throw new IllegalArgumentException("option hindsight is '" + text
                + "', but must be off, or the share of the running maximum that is kept, from 0 to below 1");
    }
}
