package dev.nibble.quant;

import java.util.List;

/**
 * The search for a block size: for each size b in order, x and w are transformed, rounded to nearest with the scale rule
 * {@link ScaleRule.MeanMagnitude}, and scored by {@code ‖error of x‖² · ‖error of w‖²}, each sum by the fixed tree. The first
 * smallest score wins. Source: Xi et al. 2023, arXiv:2306.11987, appendix A.5.
 *
 * @param sizes powers of two that divide the number of columns, ascending
 * @param top largest code
 * @param state state vector that receives log2 of the size
 */
public record HadamardSearch(List<Integer> sizes, int top, String state) {
    /** Checks the sizes. */
    public HadamardSearch {
        sizes = List.copyOf(sizes);
        if (sizes.isEmpty() || sizes.stream().anyMatch(size -> size < 1 || Integer.bitCount(size) != 1)) {
            throw new IllegalArgumentException(
                    "block sizes are " + sizes + ", but must be powers of two, at least one");
        }
    }
}
