package dev.nibble.quant.luq;

import dev.nibble.spi.QuantizerProvider;
import dev.nibble.tensor.Role;
import dev.nibble.testkit.Claims;
import dev.nibble.testkit.ErrorBound;
import dev.nibble.testkit.QuantizerContract;
import dev.nibble.testkit.Variance;

class LuqContractTests extends QuantizerContract {
    @Override
    protected QuantizerProvider provider() {
        return new LuqProvider();
    }

    /** X and W on a grid of 15 codes that clips, dY on powers of two. */
    @Override
    protected Claims claims() {
        return Claims.none()
                .bounded(Role.INPUT, ErrorBound.nearest(-7, 7))
                .bounded(Role.WEIGHT, ErrorBound.nearest(-7, 7))
                .bounded(Role.GRAD_OUTPUT, ErrorBound.powersOfTwo())
                .unbiased(Role.GRAD_OUTPUT, Variance.powersOfTwo())
                .keeping(0.55);
    }
}
