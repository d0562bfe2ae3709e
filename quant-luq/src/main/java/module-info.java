import org.jspecify.annotations.NullMarked;

/**
 * 4-bit training with logarithmic unbiased gradients (LUQ, Chmiel et al. 2021, arXiv:2112.10769). Exports nothing: reached
 * by name.
 */
@NullMarked
module dev.nibble.quant.luq {
    requires dev.nibble.api;
    requires static org.jspecify;

    provides dev.nibble.spi.QuantizerProvider with
            dev.nibble.quant.luq.LuqProvider;
}
