package org.example.tensor;

import dev.nibble.spi.QuantizerProvider;
import dev.nibble.testkit.QuantizerContract;

class TensorContractTests extends QuantizerContract {
    @Override
    protected QuantizerProvider provider() {
        return new TensorProvider();
    }
}
