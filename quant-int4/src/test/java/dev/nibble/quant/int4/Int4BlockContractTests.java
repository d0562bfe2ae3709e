package dev.nibble.quant.int4;

import dev.nibble.spi.QuantizerProvider;
import dev.nibble.testkit.Claims;
import dev.nibble.testkit.QuantizerContract;
import java.util.Map;

/** One block size for all layers: those that it does not divide are refused. */
class Int4BlockContractTests extends QuantizerContract {
    @Override
    protected QuantizerProvider provider() {
        return new Int4Provider();
    }

    @Override
    protected Map<String, String> options() {
        return Map.of("hadamard", "32", "sampling", "z", "coldStart", "2");
    }

    @Override
    protected Claims claims() {
        return Int4Claims.OF_THE_METHOD.refusing(layer -> layer.in() % 32 != 0);
    }
}
