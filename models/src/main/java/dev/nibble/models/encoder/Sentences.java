package dev.nibble.models.encoder;

import dev.nibble.tensor.Tensor;

/**
 * Sequences of different lengths on the device, one after the other without padding between them; behind the last one there may be rows
 * that belong to none.
 *
 * @param ids INT32, [rows]: token ids
 * @param places INT32, [rows]: position of each row in its sequence; 0 behind the last one
 * @param types INT32, [rows]: segment of each row
 * @param asked INT32, [asked]: the rows whose vectors are classified, each once
 * @param lengths [sequences]: tokens of each sequence, on the host: they are known before the step, as its data is; not modified
 */
public record Sentences(Tensor ids, Tensor places, Tensor types, Tensor asked, int[] lengths) implements AutoCloseable {
    /** {@return rows of all sequences, and those behind them} */
    long rows() {
        return ids.shape().elements();
    }

    @Override
    public void close() {
        ids.close();
        places.close();
        types.close();
        asked.close();
    }
}
