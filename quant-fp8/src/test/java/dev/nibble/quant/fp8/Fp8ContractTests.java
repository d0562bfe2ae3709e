package dev.nibble.quant.fp8;

import dev.nibble.spi.QuantizerProvider;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Role;
import dev.nibble.testkit.Claims;
import dev.nibble.testkit.ErrorBound;
import dev.nibble.testkit.QuantizerContract;

class Fp8ContractTests extends QuantizerContract {
    @Override
    protected QuantizerProvider provider() {
        return new Fp8Provider();
    }

    @Override
    protected Claims claims() {
        return Claims.none()
                .bounded(Role.INPUT, ErrorBound.nearest(DType.E4M3))
                .bounded(Role.WEIGHT, ErrorBound.nearest(DType.E4M3))
                .bounded(Role.GRAD_OUTPUT, ErrorBound.nearest(DType.E5M2))
                .keeping(1.01);
    }
}
