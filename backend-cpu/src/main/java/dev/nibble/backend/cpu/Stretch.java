package dev.nibble.backend.cpu;

/**
 * Neighbouring values of a row on their way to codes: working memory of one thread. Passes read and write whole vectors,
 * so the arrays reach beyond the values.
 */
final class Stretch {
    private static final int REACH = Math.max(TileKernel.LANES.length(), ByteLanes.REACH);

    final float[] t; // scaled values
    final float[] spare; // as long as t
    final int[] words; // 32 random bits a value, from wordAt; empty if nothing is drawn
    final byte[][] codes; // a byte each, [planes][as long as t]
    int wordAt;
    int count;

    Stretch(int length, boolean drawn, int planes) {
        t = new float[length + REACH];
        spare = new float[length + REACH];
        words = new int[drawn ? PhiloxLanes.capacity(length) : 0];
        codes = new byte[planes][length + REACH];
    }
}
