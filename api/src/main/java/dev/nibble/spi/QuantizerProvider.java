package dev.nibble.spi;

import java.util.List;

/** Makes a quantizer from options. Found by {@link java.util.ServiceLoader}; immutable and thread-safe. */
public interface QuantizerProvider extends Named {
    /** {@return the options, with types and defaults} */
    List<OptionSpec> options();

    /**
     * Creates a quantizer.
     *
     * @param options a value for each of {@link #options()}, already checked against it
     * @throws IllegalArgumentException if the values do not fit together
     */
    Quantizer create(OptionValues options);
}
