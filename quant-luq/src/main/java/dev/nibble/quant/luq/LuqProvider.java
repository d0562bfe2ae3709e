package dev.nibble.quant.luq;

import dev.nibble.spi.OptionSpec;
import dev.nibble.spi.OptionValues;
import dev.nibble.spi.Quantizer;
import dev.nibble.spi.QuantizerProvider;
import dev.nibble.spi.Spi;
import java.util.List;

/**
 * {@code luq}: INT4 for input and weight, with statistics-aware clipping; FP4 with three exponent bits and no mantissa for the
 * gradient, rounded without bias (Chmiel et al. 2021, arXiv:2112.10769).
 */
public final class LuqProvider implements QuantizerProvider {
    /** Called by the service loader. */
    public LuqProvider() {}

    @Override
    public String name() {
        return "luq";
    }

    @Override
    public int spiVersion() {
        return Spi.VERSION;
    }

    @Override
    public String description() {
        return "INT4 forward, unbiased FP4 powers of two backward (arXiv:2112.10769)";
    }

    @Override
    public List<OptionSpec> options() {
        return List.of(
                new OptionSpec(
                        "exponent",
                        OptionSpec.Type.CHOICE,
                        "6",
                        List.of("4", "6", "7", "8"),
                        "E: gradient codes are 0 and powers of two up to 2^E; above 6 they take a byte"),
                samples("samplesGradWeight", "draws of the gradient that the weight gradient averages, 1 to 16"),
                samples("samplesGradInput", "draws of the gradient that the input gradient averages, 1 to 16"),
                OptionSpec.text(
                        "hindsight",
                        "off",
                        List.of("off", "0.9"),
                        "off: the scale of a gradient is its own; else it comes from a running maximum of which each step"
                                + " keeps this share"),
                OptionSpec.flag("powerOfTwo", false, "whether the gradient's scale is rounded up to a power of two"),
                OptionSpec.choice(
                        "gradQuant",
                        List.of("luq", "rdnp", "fp4-flush", "int4-sr", "log-sr", "none"),
                        "gradient codes; luq: unbiased; others for comparison: nearest power, nearest power or 0, uniform"
                                + " stochastic, stochastic in the exponent, fp32"),
                OptionSpec.choice(
                        "intMode",
                        List.of("strict4", "ref", "none"),
                        "grid of input and weight; strict4: four bits; ref: as released, up to 24 levels; none: fp32"),
                OptionSpec.choice(
                        "fineTuneInput",
                        List.of("fp32", "quantized"),
                        "input in fine-tuning steps (train.fineTuneSteps), where the gradient is fp32 and the weight keeps its"
                                + " codes; fp32: as in the paper; quantized: as in evaluation"));
    }

    private static OptionSpec samples(String name, String help) {
        return new OptionSpec(name, OptionSpec.Type.INTEGER, "1", List.of(), help);
    }

    @Override
    public Quantizer create(OptionValues options) {
        LuqSettings settings = LuqSettings.parse(options);
        return layer -> new LuqLinear(settings, layer.nonNegativeInput());
    }
}
