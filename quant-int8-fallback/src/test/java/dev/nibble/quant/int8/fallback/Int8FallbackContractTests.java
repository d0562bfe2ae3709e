package dev.nibble.quant.int8.fallback;

import dev.nibble.spi.QuantizerProvider;
import dev.nibble.testkit.Claims;
import dev.nibble.testkit.QuantizerContract;
import java.util.Map;

/** Mode A, with several blocks in a tensor. */
class Int8FallbackContractTests extends QuantizerContract {
    @Override
    protected QuantizerProvider provider() {
        return new Int8FallbackProvider();
    }

    @Override
    protected Map<String, String> options() {
        return Map.of("block", "16"); // several blocks in every tensor
    }

    @Override
    protected Claims claims() {
        return Int8Claims.WITH_RESIDUAL.keeping(1.05); // the residual stays in the forward pass
    }
}
