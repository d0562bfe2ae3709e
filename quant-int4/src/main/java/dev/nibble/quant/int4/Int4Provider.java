package dev.nibble.quant.int4;

import dev.nibble.spi.OptionSpec;
import dev.nibble.spi.OptionValues;
import dev.nibble.spi.Quantizer;
import dev.nibble.spi.QuantizerProvider;
import dev.nibble.spi.Spi;
import java.util.List;

/**
 * {@code int4}: X and W in INT4 with learned steps after a block Hadamard transform; dY as two INT4 digits of one unbiased
 * draw, of whose rows each product samples as many as one INT4 pass has (Xi et al. 2023, arXiv:2306.11987).
 */
public final class Int4Provider implements QuantizerProvider {
    /** Called by the service loader. */
    public Int4Provider() {}

    @Override
    public String name() {
        return "int4";
    }

    @Override
    public int spiVersion() {
        return Spi.VERSION;
    }

    @Override
    public String description() {
        return "INT4 with learned steps, Hadamard transform and leverage-score sampling (arXiv:2306.11987)";
    }

    @Override
    public List<OptionSpec> options() {
        return List.of(
                HadamardOption.SPEC,
                OptionSpec.choice(
                        "split",
                        List.of("u", "r"),
                        "how dY becomes two digits: u, unbiased; r, as released with the paper, biased"),
                OptionSpec.choice(
                        "sampling",
                        List.of("lss", "z", "none"),
                        "rows of dY in its products: lss, drawn by leverage score; z, those that are not zero; none, all"),
                new OptionSpec(
                        "coldStart",
                        OptionSpec.Type.INTEGER,
                        "1",
                        List.of(),
                        "first training steps, in which the steps of X and W come from the batch"),
                OptionSpec.flag("learnSteps", true, "whether the steps of X and W are learned after that"),
                new OptionSpec(
                        "stepRate",
                        OptionSpec.Type.NUMBER,
                        "1",
                        List.of(),
                        "relative change of a learned step, in units of the learning rate"));
    }

    @Override
    public Quantizer create(OptionValues options) {
        Int4Settings settings = Int4Settings.parse(options);
        HadamardOption hadamard = HadamardOption.parse(options);
        return layer -> Int4Linear.of(settings, hadamard, layer);
    }
}
