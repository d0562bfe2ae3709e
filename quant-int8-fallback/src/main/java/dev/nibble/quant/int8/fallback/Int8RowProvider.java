package dev.nibble.quant.int8.fallback;

import dev.nibble.quant.Granularity;
import dev.nibble.spi.OptionSpec;
import dev.nibble.spi.OptionValues;
import dev.nibble.spi.Quantizer;
import dev.nibble.spi.QuantizerProvider;
import dev.nibble.spi.Spi;
import java.util.List;

/**
 * {@code int8-row}: every operand of every product has one scale a row along its own contraction, so X, W and dY are
 * each quantized twice. The scales leave the sum: the fastest INT8 product there is. X and W round to nearest
 * unless told otherwise, dY stochastically.
 */
public final class Int8RowProvider implements QuantizerProvider {
    /** Called by the service loader. */
    public Int8RowProvider() {}

    @Override
    public String name() {
        return "int8-row";
    }

    @Override
    public int spiVersion() {
        return Spi.VERSION;
    }

    @Override
    public String description() {
        return "INT8, one scale a row of each operand of each product";
    }

    @Override
    public List<OptionSpec> options() {
        return List.of(ContextOption.spec(32), ForwardOption.SPEC);
    }

    @Override
    public Quantizer create(OptionValues options) {
        Int8Linear linear =
                new Int8Linear(new Granularity.PerRow(), ContextOption.parse(options), ForwardOption.parse(options));
        return _ -> linear;
    }
}
