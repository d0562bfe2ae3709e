package dev.nibble.quant.fp8;

import dev.nibble.spi.OptionSpec;
import dev.nibble.spi.OptionValues;
import dev.nibble.spi.Quantizer;
import dev.nibble.spi.QuantizerProvider;
import dev.nibble.spi.Spi;
import dev.nibble.tensor.DType;
import java.util.List;
import java.util.Locale;

/**
 * {@code fp8}: E4M3 for input and weight, E5M2 for the gradient (the hybrid recipe), one scale a tensor, from the tensor
 * itself (current scaling).
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
        return "FP8, E4M3 forward and E5M2 backward, one scale a tensor (arXiv:2209.05433)";
    }

    @Override
    public List<OptionSpec> options() {
        return List.of(
                OptionSpec.choice("scaling", List.of("tensor"), "where a scale comes from: the tensor's own amax"),
                OptionSpec.flag("pow2", false, "whether scales are powers of two"),
                OptionSpec.choice("forward", List.of("e4m3", "e5m2"), "format of input and weight"),
                OptionSpec.choice("backward", List.of("e5m2", "e4m3"), "format of the gradient"));
    }

    @Override
    public Quantizer create(OptionValues options) {
        DType forward = DType.valueOf(options.text("forward").toUpperCase(Locale.ROOT));
        DType backward = DType.valueOf(options.text("backward").toUpperCase(Locale.ROOT));
        if (forward == DType.E5M2 && backward == DType.E5M2) {
            // the matrix units that exist multiply e4m3 x e4m3 and e4m3 x e5m2, never e5m2 x e5m2
            throw new IllegalArgumentException(
                    "options forward and backward are both e5m2, but one must be e4m3; no hardware multiplies e5m2 by e5m2");
        }
        return _ -> new Fp8Linear(forward, backward, options.flag("pow2"));
    }
}
