package dev.nibble.spi;

import java.util.List;

/**
 * AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101): with g the clipped gradient and t the number of updates,
 * {@code m = beta1·m + (1-beta1)·g; v = beta2·v + (1-beta2)·g²; p = p - lr·(m̂ / (sqrt(v̂) + epsilon) + weightDecay·p)},
 * {@code m̂ = m / (1 - beta1^t)}, {@code v̂ = v / (1 - beta2^t)}.
 *
 * @param beta1 decay of the first moment
 * @param beta2 decay of the second moment
 * @param epsilon added to the root
 * @param weightDecay decoupled decay of matrices; vectors have none
 */
public record AdamW(float beta1, float beta2, float epsilon, float weightDecay) implements UpdateRule {
    /** Checks the ranges. */
    public AdamW {
        if (!(beta1 >= 0 && beta1 < 1 && beta2 >= 0 && beta2 < 1 && epsilon > 0 && weightDecay >= 0)) {
            throw new IllegalArgumentException(
                    "AdamW needs 0 <= beta < 1, epsilon > 0, weightDecay >= 0, but got beta1 " + beta1 + ", beta2 "
                            + beta2 + ", epsilon " + epsilon + ", weightDecay " + weightDecay);
        }
    }

    @Override
    public List<String> states() {
        return List.of("first", "second");
    }
}
