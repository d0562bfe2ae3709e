package dev.nibble.quant.int8.fallback;

import dev.nibble.tensor.Role;
import dev.nibble.testkit.Claims;
import dev.nibble.testkit.ErrorBound;
import dev.nibble.testkit.Variance;

/** What the quantizers of this module say of themselves. */
final class Int8Claims {
    /** X and W to the nearest of 255 codes, dY stochastically. */
    static final Claims OF_ONE_PLANE = Claims.none()
            .bounded(Role.INPUT, ErrorBound.nearest(-127, 127))
            .bounded(Role.WEIGHT, ErrorBound.nearest(-127, 127))
            .bounded(Role.GRAD_OUTPUT, ErrorBound.stochastic(-127, 127))
            .unbiased(Role.GRAD_OUTPUT, Variance.integers());

    /** As before, with a residual of X in some blocks. */
    static final Claims WITH_RESIDUAL =
            OF_ONE_PLANE.bounded(Role.INPUT, ErrorBound.nearest(-127, 127).orResidual(ErrorBound.nearest(-127, 127)));

    private Int8Claims() {}
}
