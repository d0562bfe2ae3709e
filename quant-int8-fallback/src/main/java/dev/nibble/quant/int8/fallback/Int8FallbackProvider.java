package dev.nibble.quant.int8.fallback;

import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.OptionSpec;
import dev.nibble.spi.OptionValues;
import dev.nibble.spi.Quantizer;
import dev.nibble.spi.QuantizerProvider;
import dev.nibble.spi.Spi;
import java.util.List;

/**
 * {@code int8-fallback}: block INT8 in which the input blocks with the largest amax keep a second INT8 plane, the residual
 * of the first, which makes them INT16 in effect. A threshold that follows the measured rate decides which (Zhang et al.
 * 2025, arXiv:2503.08040).
 */
public final class Int8FallbackProvider implements QuantizerProvider {
    private static final String DOWN = "mlp.down";
    private static final int CONTEXT_BITS = 10; // docs/numerics.md, section 4, has what it costs

    /** Called by the service loader. */
    public Int8FallbackProvider() {}

    @Override
    public String name() {
        return "int8-fallback";
    }

    @Override
    public int spiVersion() {
        return Spi.VERSION;
    }

    @Override
    public String description() {
        return "INT8 blocks; input blocks with outliers keep an INT8 residual (arXiv:2503.08040)";
    }

    @Override
    public List<OptionSpec> options() {
        return List.of(
                BlockOption.SPEC,
                OptionSpec.choice(
                        "criterion",
                        List.of("absmax", "l1", "l1-rel"),
                        "what of a block is compared with the threshold: its amax, the sum of its rounding errors, or that"
                                + " over the sum of its magnitudes"),
                OptionSpec.choice(
                        "threshold",
                        List.of("delayed", "exact", "capped", "off", "all"),
                        "delayed: follows the measured rate; exact: the quantile of each input itself; capped: as delayed,"
                                + " but at most rateMax of the blocks; off: no block falls back; all: every block does"),
                OptionSpec.choice(
                        "fallbackLayers",
                        List.of("all", "down"),
                        "layers that fall back: all, or those named mlp.down"),
                OptionSpec.flag(
                        "residualInGradWeight",
                        false,
                        "whether the weight gradient uses the residual too (keeps it for the backward pass)"),
                ContextOption.spec(CONTEXT_BITS),
                number("rateMin", "0.1", "rate below which the threshold sinks"),
                number("rateMax", "0.3", "rate above which the threshold rises"),
                number("alpha", "1.3", "factor of one change of the threshold"),
                OptionSpec.flag("flipDamping", true, "whether alpha shrinks to its root when the direction flips"));
    }

    private static OptionSpec number(String name, String defaultValue, String help) {
        return new OptionSpec(name, OptionSpec.Type.NUMBER, defaultValue, List.of(), help);
    }

    @Override
    public Quantizer create(OptionValues options) {
        FallbackSettings settings = FallbackSettings.parse(options);
        return layer -> settings.downOnly() && !isDown(layer)
                ? new Int8Linear(settings.block(), settings.context())
                : new FallbackLinear(settings, layer.in());
    }

    private static boolean isDown(LinearLayer layer) {
        String name = layer.site().name();
        return name.equals(DOWN) || name.endsWith("." + DOWN);
    }
}
