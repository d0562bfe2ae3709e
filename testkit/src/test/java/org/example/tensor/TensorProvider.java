package org.example.tensor;

import dev.nibble.spi.OptionSpec;
import dev.nibble.spi.OptionValues;
import dev.nibble.spi.Quantizer;
import dev.nibble.spi.QuantizerProvider;
import dev.nibble.spi.Spi;
import java.util.List;

/** Provides {@code example-int8-tensor}. */
public final class TensorProvider implements QuantizerProvider {
    /** Called by the service loader; touches nothing. */
    public TensorProvider() {}

    @Override
    public String name() {
        return "example-int8-tensor";
    }

    @Override
    public int spiVersion() {
        return Spi.VERSION; // a constant: javac writes the number into this class
    }

    @Override
    public String description() {
        return "INT8, one scale a tensor";
    }

    @Override
    public List<OptionSpec> options() {
        return List.of(OptionSpec.flag("stochastic", true, "whether dY is rounded stochastically"));
    }

    @Override
    public Quantizer create(OptionValues options) {
        boolean stochastic = options.flag("stochastic");
        return layer -> new TensorLinear(stochastic);
    }
}
