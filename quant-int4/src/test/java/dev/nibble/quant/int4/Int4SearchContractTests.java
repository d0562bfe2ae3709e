package dev.nibble.quant.int4;

import dev.nibble.spi.QuantizerProvider;
import dev.nibble.testkit.Claims;
import dev.nibble.testkit.QuantizerContract;
import java.util.Map;

/** A block size that each layer searches for. */
class Int4SearchContractTests extends QuantizerContract {
    @Override
    protected QuantizerProvider provider() {
        return new Int4Provider();
    }

    @Override
    protected Map<String, String> options() {
        return Map.of("hadamard", "search", "sampling", "none");
    }

    @Override
    protected Claims claims() {
        return Int4Claims.OF_THE_METHOD;
    }
}
