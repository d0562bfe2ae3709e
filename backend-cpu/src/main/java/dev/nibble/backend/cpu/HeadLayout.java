package dev.nibble.backend.cpu;

import dev.nibble.backend.cpu.PanelKernel.Panel;

/**
 * Where the matrices of one attention head lie in a thread's scratch array. Lengths are padded to 32, so that pairs of
 * vectors and groups of four rows never leave a matrix; what lies in the padding never reaches a result.
 *
 * @param sequence tokens, padded
 * @param features features of the head, padded
 * @param pitch from row to row of a matrix whose columns are tokens; the rest keeps its rows in different cache sets
 */
record HeadLayout(int sequence, int features, int pitch) {
    /** Queries whose scores are held at a time; fixes no number, only how long caches keep what is used again. */
    static final int QUERIES = 64;

    private static final int PADDING = 32; // two of the longest vectors, and a multiple of the rows of a group
    private static final int PITCH_EXTRA = 16; // one cache line: rows a power of two apart would share their sets

    static HeadLayout of(int sequence, int headSize) {
        int padded = padded(sequence);
        return new HeadLayout(padded, padded(headSize), Math.addExact(padded, PITCH_EXTRA));
    }

    private static int padded(int length) {
        return Math.multiplyExact(Math.ceilDiv(length, PADDING), PADDING);
    }

    /** {@return floats that the scratch array needs} */
    long length() {
        return 5L * sequence * features + 2L * features * pitch + 2L * QUERIES * pitch + (long) QUERIES * features;
    }

    private Panel rows(int index) {
        return Panel.of(index * sequence * features, features);
    }

    private Panel transposed(int index) {
        return Panel.of(rows(5).at() + index * features * pitch, pitch);
    }

    private Panel ofQueries(int index) {
        return Panel.of(transposed(2).at() + index * QUERIES * pitch, pitch);
    }

    /** {@return q, [sequence, features]} */
    Panel q() {
        return rows(0);
    }

    /** {@return k, [sequence, features]; backward only} */
    Panel k() {
        return rows(1);
    }

    /** {@return v, [sequence, features]; forward only} */
    Panel v() {
        return rows(1);
    }

    /** {@return gradient of the output, [sequence, features]} */
    Panel gradOutput() {
        return rows(2);
    }

    /** {@return gradient of k, [sequence, features]} */
    Panel gradK() {
        return rows(3);
    }

    /** {@return gradient of v, [sequence, features]} */
    Panel gradV() {
        return rows(4);
    }

    /** {@return kᵀ, [features, pitch]} */
    Panel kTransposed() {
        return transposed(0);
    }

    /** {@return vᵀ, [features, pitch]} */
    Panel vTransposed() {
        return transposed(1);
    }

    /** {@return scores, then probabilities, of some queries, [64, pitch]} */
    Panel scores() {
        return ofQueries(0);
    }

    /** {@return gradient of the scores of some queries, [64, pitch]} */
    Panel gradScores() {
        return ofQueries(1);
    }

    /** {@return output, or gradient of q, of some queries, [64, features]} */
    Panel outputRows() {
        return Panel.of(ofQueries(2).at(), features);
    }
}
