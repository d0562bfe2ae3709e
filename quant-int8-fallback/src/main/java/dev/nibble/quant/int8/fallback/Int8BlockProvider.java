package dev.nibble.quant.int8.fallback;

import dev.nibble.spi.OptionSpec;
import dev.nibble.spi.OptionValues;
import dev.nibble.spi.Quantizer;
import dev.nibble.spi.QuantizerProvider;
import dev.nibble.spi.Spi;
import java.util.List;

/**
 * {@code int8-block}: one scale a block. Square blocks serve both products of a tensor with the same codes. X and W round
 * to nearest unless told otherwise, dY stochastically. Without fallback: the baseline that {@code int8-fallback} improves on.
 */
public final class Int8BlockProvider implements QuantizerProvider {
    /** Called by the service loader. */
    public Int8BlockProvider() {}

    @Override
    public String name() {
        return "int8-block";
    }

    @Override
    public int spiVersion() {
        return Spi.VERSION;
    }

    @Override
    public String description() {
        return "INT8, one scale a block, no fallback";
    }

    @Override
    public List<OptionSpec> options() {
        return List.of(BlockOption.SPEC, ContextOption.spec(32), ForwardOption.SPEC);
    }

    @Override
    public Quantizer create(OptionValues options) {
        Int8Linear linear =
                new Int8Linear(BlockOption.parse(options), ContextOption.parse(options), ForwardOption.parse(options));
        return _ -> linear;
    }
}
