package dev.nibble.reference;

/** Rows of a table, and their gradient. */
public final class ReferenceEmbedding {
    private ReferenceEmbedding() {}

    /**
     * Copies {@code y[t] = table[ids[t]]} for tokens {@code from} to {@code to - 1}.
     *
     * @param ids [tokens]
     * @param table [vocabulary, width]
     * @param y [tokens, width]
     */
    public static void forward(int[] ids, float[] table, int width, int from, int to, float[] y) {
        for (int token = from; token < to; token++) {
            System.arraycopy(table, ids[token] * width, y, token * width, width);
        }
    }

    /**
     * Adds {@code gradTable[ids[t]] += gradOutput[t]} in columns {@code from} to {@code to - 1}, t ascending.
     *
     * @param ids [tokens]
     * @param gradOutput [tokens, width]
     * @param gradTable [vocabulary, width]
     */
    public static void backward(int[] ids, float[] gradOutput, int width, int from, int to, float[] gradTable) {
        for (int token = 0; token < ids.length; token++) {
            int source = token * width;
            int target = ids[token] * width;
            for (int i = from; i < to; i++) {
                gradTable[target + i] += gradOutput[source + i];
            }
        }
    }
}
