package dev.nibble.models.train;

/** Numbers of tokens and classes, looked at on the host: a device that runs ahead of it cannot refuse them. */
public final class TokenIds {
    private TokenIds() {}

    /**
     * Checks the numbers of a batch.
     *
     * @param what what they are, for the message
     * @param ids the numbers, [tokens]
     * @param vocabulary how many the model has
     * @throws IllegalArgumentException naming the first that the model does not have
     */
    public static void require(String what, int[] ids, int vocabulary) {
        for (int i = 0; i < ids.length; i++) {
            if (ids[i] < 0 || ids[i] >= vocabulary) {
                throw new IllegalArgumentException(
                        "%s %d of the batch is token %d, but the model has %d tokens, 0..%d; was the text read with another vocabulary?"
                                .formatted(what, i, ids[i], vocabulary, vocabulary - 1));
            }
        }
    }
}
