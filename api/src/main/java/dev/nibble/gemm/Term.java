package dev.nibble.gemm;

/**
 * One product of planes that enters the sum.
 *
 * @param planeA plane of the left operand
 * @param planeB plane of the right operand
 */
public record Term(int planeA, int planeB) {
    /** Checks the plane numbers. */
    public Term {
        if (planeA < 0 || planeB < 0) {
            throw new IllegalArgumentException("planes " + planeA + ", " + planeB + " must not be negative");
        }
    }
}
