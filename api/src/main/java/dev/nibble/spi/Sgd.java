package dev.nibble.spi;

import java.util.List;

/**
 * Gradient descent with momentum (Sutskever et al. 2013) and decoupled weight decay (SGDW, Loshchilov and Hutter 2019,
 * arXiv:1711.05101): with g the clipped gradient, {@code m = momentum·m + g; u = nesterov ? g + momentum·m : m; p = p -
 * lr·(u + weightDecay·p)}. Without momentum {@code u = g}, and nothing is remembered.
 *
 * @param momentum share of the last step that is kept, in [0, 1)
 * @param nesterov whether the step looks one further ahead
 * @param weightDecay decoupled decay of matrices; vectors have none
 */
public record Sgd(float momentum, boolean nesterov, float weightDecay) implements UpdateRule {
    /** Checks the ranges. */
    public Sgd {
        if (!(momentum >= 0 && momentum < 1 && weightDecay >= 0 && Float.isFinite(weightDecay))
                || (nesterov && momentum == 0)) {
            throw new IllegalArgumentException(
                    "SGD needs 0 <= momentum < 1, above 0 with nesterov, and a finite weightDecay >= 0, but got momentum "
                            + momentum + ", nesterov " + nesterov + ", weightDecay " + weightDecay);
        }
    }

    @Override
    public List<String> states() {
        return momentum == 0 ? List.of() : List.of("first");
    }
}
