package dev.nibble.testkit;

import dev.nibble.reference.Bf16Provider;
import dev.nibble.spi.QuantizerProvider;
import dev.nibble.tensor.Role;

class Bf16ContractTests extends QuantizerContract {
    @Override
    protected QuantizerProvider provider() {
        return new Bf16Provider();
    }

    @Override
    protected Claims claims() {
        return Claims.none()
                .bounded(Role.INPUT, ErrorBound.bf16())
                .bounded(Role.WEIGHT, ErrorBound.bf16())
                .bounded(Role.GRAD_OUTPUT, ErrorBound.bf16())
                .keeping(2);
    }
}
