package dev.nibble.testkit;

import dev.nibble.reference.Fp32Provider;
import dev.nibble.spi.QuantizerProvider;
import dev.nibble.tensor.Role;

class Fp32ContractTests extends QuantizerContract {
    @Override
    protected QuantizerProvider provider() {
        return new Fp32Provider();
    }

    @Override
    protected Claims claims() {
        return Claims.none()
                .bounded(Role.INPUT, ErrorBound.exact())
                .bounded(Role.WEIGHT, ErrorBound.exact())
                .bounded(Role.GRAD_OUTPUT, ErrorBound.exact())
                .keeping(4);
    }
}
