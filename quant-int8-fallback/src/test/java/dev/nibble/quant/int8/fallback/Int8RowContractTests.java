package dev.nibble.quant.int8.fallback;

import dev.nibble.spi.QuantizerProvider;
import dev.nibble.testkit.Claims;
import dev.nibble.testkit.QuantizerContract;

class Int8RowContractTests extends QuantizerContract {
    @Override
    protected QuantizerProvider provider() {
        return new Int8RowProvider();
    }

    @Override
    protected Claims claims() {
        return Int8Claims.OF_ONE_PLANE;
    }
}
