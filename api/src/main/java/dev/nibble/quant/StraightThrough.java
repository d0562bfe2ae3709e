package dev.nibble.quant;

/**
 * The backward pass through a learned-step quantizer (LSQ, Esser et al. 2020; with a transform H, Xi et al. 2023,
 * arXiv:2306.11987). R is the product's gradient with respect to the dequantized, transformed tensor, x the tensor, s the step:
 *
 * <p>{@code t = H(x) / s}; inside where {@code -top <= t <= top}; {@code delta = rint(t) - t} inside, ±top outside;
 * {@code gradient of s += Σ R·delta / sqrt(top · elements)}, the sum by the fixed tree; {@code gradient of x = H(R where inside,
 * else 0)}.
 *
 * @param transform H
 * @param step state vector that holds s
 * @param stepGradient state vector that the gradient of s is added to
 * @param top largest code
 */
public record StraightThrough(Transform transform, String step, String stepGradient, int top) {
    /** Checks the top code. */
    public StraightThrough {
        if (top < 1) {
            throw new IllegalArgumentException("top is " + top + ", but must be at least 1");
        }
    }
}
