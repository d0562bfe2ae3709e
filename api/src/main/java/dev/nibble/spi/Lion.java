package dev.nibble.spi;

import java.util.List;

/**
 * Lion (Chen et al. 2023, arXiv:2302.06675, algorithm 2): with g the clipped gradient, {@code c = beta1·m + (1-beta1)·g; p = p -
 * lr·(sign(c) + weightDecay·p); m = beta2·m + (1-beta2)·g}. Every element moves by the learning rate, so it is to be three to
 * ten times smaller than for AdamW, and weight decay as much larger.
 *
 * @param beta1 share of the moment in the direction
 * @param beta2 decay of the moment
 * @param weightDecay decoupled decay of matrices; vectors have none
 */
public record Lion(float beta1, float beta2, float weightDecay) implements UpdateRule {
    /** Checks the ranges. */
    public Lion {
        if (!(beta1 >= 0 && beta1 < 1 && beta2 >= 0 && beta2 < 1 && weightDecay >= 0 && Float.isFinite(weightDecay))) {
            throw new IllegalArgumentException("Lion needs 0 <= beta < 1 and a finite weightDecay >= 0, but got beta1 "
                    + beta1 + ", beta2 " + beta2 + ", weightDecay " + weightDecay);
        }
    }

    @Override
    public List<String> states() {
        return List.of("first");
    }
}
