package dev.nibble.gemm;

/**
 * One product of planes that enters the sum.
 *
 * @param planeA plane of the left operand
 * @param planeB plane of the right operand
 * @param weightA multiplies the left plane's scale
 * @param weightB multiplies the right plane's scale
 */
public record Term(int planeA, int planeB, float weightA, float weightB) {
    /** Checks the plane numbers and the weights. */
    public Term {
        if (planeA < 0 || planeB < 0) {
            throw new IllegalArgumentException("planes " + planeA + ", " + planeB + " must not be negative");
        }
        if (!Float.isFinite(weightA) || !Float.isFinite(weightB)) {
            throw new IllegalArgumentException("weights " + weightA + ", " + weightB + " must be finite");
        }
    }

    /** Makes a term of weight 1. */
    public Term(int planeA, int planeB) {
        this(planeA, planeB, 1, 1);
    }
}
