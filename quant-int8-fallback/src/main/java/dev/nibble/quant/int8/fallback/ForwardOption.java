package dev.nibble.quant.int8.fallback;

import dev.nibble.quant.Rounding;
import dev.nibble.spi.OptionSpec;
import dev.nibble.spi.OptionValues;
import java.util.List;

/** The option {@code forwardRounding}: how X and W are rounded. */
final class ForwardOption {
    private static final String NAME = "forwardRounding";
    private static final String STOCHASTIC = "stochastic";

    /** What the option may be. */
    static final OptionSpec SPEC = OptionSpec.choice(
            NAME,
            List.of("nearest", STOCHASTIC),
            "how input and weight are rounded; stochastic for comparison: it adds noise and removes no bias");

    private ForwardOption() {}

    static Rounding parse(OptionValues options) {
        return options.text(NAME).equals(STOCHASTIC) ? Rounding.STOCHASTIC : Rounding.NEAREST_EVEN;
    }
}
