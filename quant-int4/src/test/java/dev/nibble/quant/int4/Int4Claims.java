package dev.nibble.quant.int4;

import dev.nibble.tensor.Role;
import dev.nibble.testkit.Claims;
import dev.nibble.testkit.ErrorBound;
import dev.nibble.testkit.Variance;

/** What the quantizer of this module says of itself. */
final class Int4Claims {
    /** X and W, transformed, to the nearest of 15 codes, clipped; dY to the 239 values of two digits, of which plane 1 is the unit. */
    static final Claims OF_THE_METHOD = Claims.none()
            .bounded(Role.INPUT, ErrorBound.nearest(-7, 7))
            .bounded(Role.WEIGHT, ErrorBound.nearest(-7, 7))
            .bounded(Role.GRAD_OUTPUT, ErrorBound.stochastic(-119, 119).at(1))
            .unbiased(Role.GRAD_OUTPUT, Variance.integers().at(1))
            .keeping(0.55);

    private Int4Claims() {}
}
