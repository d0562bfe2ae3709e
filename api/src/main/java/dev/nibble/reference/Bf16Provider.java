package dev.nibble.reference;

import dev.nibble.spi.OptionSpec;
import dev.nibble.spi.OptionValues;
import dev.nibble.spi.Quantizer;
import dev.nibble.spi.QuantizerProvider;
import dev.nibble.spi.Spi;
import dev.nibble.tensor.DType;
import java.util.List;

/** Provides {@code bf16}: operands rounded to BF16, summed in FP32. */
public final class Bf16Provider implements QuantizerProvider {
    /** Makes the provider. */
    public Bf16Provider() {}

    @Override
    public String name() {
        return "bf16";
    }

    @Override
    public int spiVersion() {
        return Spi.VERSION;
    }

    @Override
    public String description() {
        return "operands rounded to BF16, summed in FP32";
    }

    @Override
    public List<OptionSpec> options() {
        return List.of();
    }

    @Override
    public Quantizer create(OptionValues options) {
        return new UnscaledQuantizer(DType.BF16);
    }
}
