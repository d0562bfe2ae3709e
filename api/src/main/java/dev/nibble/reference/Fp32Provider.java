package dev.nibble.reference;

import dev.nibble.spi.OptionSpec;
import dev.nibble.spi.OptionValues;
import dev.nibble.spi.Quantizer;
import dev.nibble.spi.QuantizerProvider;
import dev.nibble.spi.Spi;
import dev.nibble.tensor.DType;
import java.util.List;

/** Provides {@code fp32}: IEEE single precision, summed in FP32. */
public final class Fp32Provider implements QuantizerProvider {
    /** Makes the provider. */
    public Fp32Provider() {}

    @Override
    public String name() {
        return "fp32";
    }

    @Override
    public int spiVersion() {
        return Spi.VERSION;
    }

    @Override
    public String description() {
        return "IEEE single precision, summed in FP32";
    }

    @Override
    public List<OptionSpec> options() {
        return List.of();
    }

    @Override
    public Quantizer create(OptionValues options) {
        return new UnscaledQuantizer(DType.FP32);
    }
}
