import org.jspecify.annotations.NullMarked;

/** INT4 training (Xi et al. 2023, arXiv:2306.11987). Exports nothing: reached by name. */
@NullMarked
@SuppressWarnings("module") // the 4 in int4 names a format, not a version
module dev.nibble.quant.int4 {
    requires dev.nibble.api;
    requires static org.jspecify;

    provides dev.nibble.spi.QuantizerProvider with
            dev.nibble.quant.int4.Int4Provider;
}
