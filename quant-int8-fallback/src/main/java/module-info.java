import org.jspecify.annotations.NullMarked;

/**
 * INT8 training: per row, per block, and per block with dynamic fallback (Zhang et al. 2025, arXiv:2503.08040). Exports
 * nothing: reached by name.
 */
@NullMarked
@SuppressWarnings("module") // the 8 in int8 names a format, not a version
module dev.nibble.quant.int8.fallback {
    requires dev.nibble.api;
    requires static org.jspecify;

    provides dev.nibble.spi.QuantizerProvider with
            dev.nibble.quant.int8.fallback.Int8RowProvider,
            dev.nibble.quant.int8.fallback.Int8BlockProvider,
            dev.nibble.quant.int8.fallback.Int8FallbackProvider;
}
