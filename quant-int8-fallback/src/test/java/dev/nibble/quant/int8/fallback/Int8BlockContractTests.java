package dev.nibble.quant.int8.fallback;

import dev.nibble.spi.QuantizerProvider;
import dev.nibble.testkit.Claims;
import dev.nibble.testkit.QuantizerContract;

class Int8BlockContractTests extends QuantizerContract {
    @Override
    protected QuantizerProvider provider() {
        return new Int8BlockProvider();
    }

    @Override
    protected Claims claims() {
        return Int8Claims.OF_ONE_PLANE.keeping(1.01); // a code, and a scale a block
    }
}
