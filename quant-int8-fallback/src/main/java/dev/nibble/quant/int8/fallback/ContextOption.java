package dev.nibble.quant.int8.fallback;

import dev.nibble.quant.TensorCodec;
import dev.nibble.spi.OptionSpec;
import dev.nibble.spi.OptionValues;
import java.util.List;
import java.util.Optional;

/** The option {@code contextBits}: how what norms, activations and attention keep for the backward pass is packed. */
final class ContextOption {
    private static final String NAME = "contextBits";
    private static final int FP32 = 32;

    private ContextOption() {}

    static OptionSpec spec(int defaultBits) {
        return new OptionSpec(
                NAME,
                OptionSpec.Type.CHOICE,
                String.valueOf(defaultBits),
                List.of("8", "10", "12", "16", "32"),
                "bits of what the norm or activation before a layer keeps for its backward pass (attention: BF16 for"
                        + " any of them); 32: FP32, not packed");
    }

    static Optional<TensorCodec> parse(OptionValues options) {
        int bits = Integer.parseInt(options.text(NAME));
        return bits == FP32 ? Optional.empty() : Optional.of(new TensorCodec(bits));
    }
}
