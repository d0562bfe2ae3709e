package dev.nibble.quant.int8.fallback;

import dev.nibble.spi.QuantizerProvider;
import dev.nibble.testkit.Claims;
import dev.nibble.testkit.QuantizerContract;
import java.util.Map;

/** Mode B, in blocks that are not square: every tensor is quantized twice. */
class Int8FallbackModeBContractTests extends QuantizerContract {
    @Override
    protected QuantizerProvider provider() {
        return new Int8FallbackProvider();
    }

    @Override
    protected Map<String, String> options() {
        return Map.of("block", "16x32", "residualInGradWeight", "true");
    }

    @Override
    protected Claims claims() {
        return Int8Claims.WITH_RESIDUAL.keeping(2.1);
    }
}
