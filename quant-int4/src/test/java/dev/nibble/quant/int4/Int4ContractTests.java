package dev.nibble.quant.int4;

import dev.nibble.spi.QuantizerProvider;
import dev.nibble.testkit.Claims;
import dev.nibble.testkit.QuantizerContract;

/** The defaults: sampled products, the block size that fits. */
class Int4ContractTests extends QuantizerContract {
    @Override
    protected QuantizerProvider provider() {
        return new Int4Provider();
    }

    @Override
    protected Claims claims() {
        return Int4Claims.OF_THE_METHOD;
    }
}
