package dev.nibble.testkit;

import dev.nibble.spi.QuantizerProvider;
import dev.nibble.tensor.Role;
import dev.nibble.testkit.run.OddQuantizer;

class OddQuantizerContractTests extends QuantizerContract {
    @Override
    protected QuantizerProvider provider() {
        return new OddQuantizer();
    }

    /** For gradInput dY is the mean of three draws of powers of two, for gradWeight it has two digits. */
    @Override
    protected Claims claims() {
        ErrorBound powers = ErrorBound.powersOfTwo();
        ErrorBound digits = ErrorBound.stochastic(-119, 119).at(1);
        Variance ofPowers = Variance.powersOfTwo().averaged();
        Variance ofDigits = Variance.integers().at(1);
        return Claims.none()
                .bounded(Role.GRAD_OUTPUT, (x, s) -> s.length == 3 ? powers.of(x, s) : digits.of(x, s))
                .unbiased(Role.GRAD_OUTPUT, (x, s) -> s.length == 3 ? ofPowers.of(x, s) : ofDigits.of(x, s));
    }
}
