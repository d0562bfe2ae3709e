package dev.nibble.models.layers;

/**
 * How many tokens go through the head of a language model at a time, so that the logits of all of them need not exist at once. The sizes
 * alone decide: see docs/numerics.md, section 9.
 *
 * @param elements logits that may exist at once; 128 tokens may always go together
 */
public record LogitChunks(int elements) {
    /** 1 GiB in FP32: fewer tokens at a time would have the gradient of the weight read and written more often than it is worth. */
    public static final LogitChunks DEFAULT = new LogitChunks(1 << 28);

    private static final int GROUP = 128; // tokens of a chunk are a multiple: no tile of a product is cut

    /** Checks the number. */
    public LogitChunks {
        if (elements < 1) {
            throw new IllegalArgumentException("logits at once are " + elements + ", but must be 1 or more");
        }
    }

    /**
     * {@return tokens of each chunk but the last, which may have fewer; all of them if their logits fit} The chunks are as few and as equal
     * as they can be.
     */
    public int rows(int tokens, int vocabulary) {
        int most = Math.max(elements / vocabulary / GROUP, 1) * GROUP;
        if (tokens <= most || (long) tokens * vocabulary <= elements) {
            return tokens;
        }
        int chunks = Math.ceilDiv(tokens, most);
        return Math.ceilDiv(Math.ceilDiv(tokens, chunks), GROUP) * GROUP;
    }
}
