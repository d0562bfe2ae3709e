package dev.nibble.backend.cpu;

import dev.nibble.host.HostPlane;

/**
 * One plane as a term of a product uses it: the scale of a row in a segment is
 * {@code (rowWeight · segmentWeight) · (weight · scale)}, of which rowWeight or segmentWeight is 1.
 *
 * @param plane codes and scales
 * @param rows rows of the operand
 * @param weight the term's
 * @param rowWeights one a row, or empty for 1
 * @param segmentWeights one a segment of the sum, or empty for 1
 */
record PlaneUse(HostPlane plane, int rows, float weight, float[] rowWeights, float[] segmentWeights) {
    private static final float[] ONES = {};

    static PlaneUse of(HostPlane plane, long rows, float weight) {
        return new PlaneUse(plane, (int) rows, weight, ONES, ONES);
    }

    PlaneUse withRowWeights(float[] weights) {
        return new PlaneUse(plane, rows, weight, weights, ONES);
    }

    PlaneUse withSegmentWeights(float[] weights) {
        return new PlaneUse(plane, rows, weight, ONES, weights);
    }

    /** {@return what multiplies the scale of a row in a segment, the term's weight apart} */
    float sampleWeight(int segment, int row) {
        return segmentWeights.length > 0 ? segmentWeights[segment] : rowWeights.length > 0 ? rowWeights[row] : 1;
    }
}
