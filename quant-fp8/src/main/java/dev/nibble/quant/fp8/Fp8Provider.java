package dev.nibble.quant.fp8;

import dev.nibble.spi.OptionSpec;
import dev.nibble.spi.OptionValues;
import dev.nibble.spi.Quantizer;
import dev.nibble.spi.QuantizerProvider;
import dev.nibble.spi.Spi;
import java.util.List;

/**
 * {@code fp8}: E4M3 for input and weight, E5M2 for the gradient (the hybrid recipe), in all three products; by default one
 * scale a tensor, from the tensor itself (current scaling).
 */
public final class Fp8Provider implements QuantizerProvider {
    /** Called by the service loader. */
    public Fp8Provider() {}

    @Override
    public String name() {
        return "fp8";
    }

    @Override
    public int spiVersion() {
        return Spi.VERSION;
    }

    @Override
    public String description() {
        return "FP8, E4M3 forward and E5M2 backward; one scale a tensor, a row or a block (arXiv:2209.05433)";
    }

    @Override
    public List<OptionSpec> options() {
        return Fp8Options.SPECS;
    }

    @Override
    public Quantizer create(OptionValues options) {
        Fp8Settings settings = Fp8Options.parse(options);
        return layer -> Fp8Linear.of(settings, layer);
    }
}
