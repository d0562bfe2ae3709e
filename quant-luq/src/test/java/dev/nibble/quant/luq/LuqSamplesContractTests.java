package dev.nibble.quant.luq;

import dev.nibble.spi.QuantizerProvider;
import dev.nibble.tensor.Role;
import dev.nibble.testkit.Claims;
import dev.nibble.testkit.ErrorBound;
import dev.nibble.testkit.QuantizerContract;
import dev.nibble.testkit.Variance;
import java.util.Map;

/** Several draws of dY, averaged, with the maximum in hindsight: a fresh layer has its own. */
class LuqSamplesContractTests extends QuantizerContract {
    @Override
    protected QuantizerProvider provider() {
        return new LuqProvider();
    }

    @Override
    protected Map<String, String> options() {
        return Map.of("samplesGradWeight", "3", "samplesGradInput", "2", "hindsight", "0.9", "powerOfTwo", "true");
    }

    @Override
    protected Claims claims() {
        return Claims.none()
                .bounded(Role.GRAD_OUTPUT, ErrorBound.powersOfTwo())
                .unbiased(Role.GRAD_OUTPUT, Variance.powersOfTwo().averaged());
    }
}
