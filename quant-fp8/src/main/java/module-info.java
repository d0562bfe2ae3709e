import org.jspecify.annotations.NullMarked;

/** FP8 training (Micikevicius et al. 2022, arXiv:2209.05433). Exports nothing: reached by name. */
@NullMarked
@SuppressWarnings("module") // the 8 in fp8 names a format, not a version
module dev.nibble.quant.fp8 {
    requires dev.nibble.api;
    requires static org.jspecify;

    provides dev.nibble.spi.QuantizerProvider with
            dev.nibble.quant.fp8.Fp8Provider;
}
