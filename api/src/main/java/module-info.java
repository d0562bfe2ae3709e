import org.jspecify.annotations.NullMarked;

/**
 * Tensors, number formats, quantization and GEMM descriptions, the plug-in SPIs, and the plain
 * reference code that specifies what every backend computes. Depends on {@code java.base} alone.
 */
@NullMarked
module dev.nibble.api {
    requires static org.jspecify;

    exports dev.nibble.error;
    exports dev.nibble.gemm;
    exports dev.nibble.host;
    exports dev.nibble.quant;
    exports dev.nibble.random;
    exports dev.nibble.reference;
    exports dev.nibble.report;
    exports dev.nibble.spi;
    exports dev.nibble.state;
    exports dev.nibble.tensor;

    uses dev.nibble.spi.QuantizerProvider;
    uses dev.nibble.spi.BackendProvider;

    provides dev.nibble.spi.QuantizerProvider with
            dev.nibble.reference.Fp32Provider,
            dev.nibble.reference.Bf16Provider;
    provides dev.nibble.spi.BackendProvider with
            dev.nibble.reference.ReferenceBackendProvider;
}
