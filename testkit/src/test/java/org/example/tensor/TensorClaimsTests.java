package org.example.tensor;

import dev.nibble.spi.QuantizerProvider;
import dev.nibble.tensor.Role;
import dev.nibble.testkit.Claims;
import dev.nibble.testkit.ErrorBound;
import dev.nibble.testkit.QuantizerContract;
import dev.nibble.testkit.Variance;
import java.util.Map;

class TensorClaimsTests extends QuantizerContract {
    @Override
    protected QuantizerProvider provider() {
        return new TensorProvider();
    }

    @Override
    protected Map<String, String> options() {
        return Map.of("stochastic", "true");
    }

    @Override
    protected Claims claims() {
        return Claims.none()
                .bounded(Role.INPUT, ErrorBound.nearest(-127, 127))
                .bounded(Role.WEIGHT, ErrorBound.nearest(-127, 127))
                .bounded(Role.GRAD_OUTPUT, ErrorBound.stochastic(-127, 127))
                .unbiased(Role.GRAD_OUTPUT, Variance.integers())
                .keeping(1.01);
    }
}
