package dev.nibble.testkit.control;

import dev.nibble.spi.OptionSpec;
import dev.nibble.spi.OptionValues;
import dev.nibble.spi.Quantizer;
import dev.nibble.spi.QuantizerProvider;
import dev.nibble.spi.Spi;
import java.util.List;

/** A provider without options. */
record ControlQuantizer(String name, String description, Quantizer quantizer) implements QuantizerProvider {
    @Override
    public int spiVersion() {
        return Spi.VERSION;
    }

    @Override
    public List<OptionSpec> options() {
        return List.of();
    }

    @Override
    public Quantizer create(OptionValues options) {
        return quantizer;
    }
}
