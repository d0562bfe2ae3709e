package dev.nibble.models.data;

import dev.nibble.random.Purpose;
import dev.nibble.random.RandomStream;
import dev.nibble.tensor.Role;

/** Which sequences make a batch: a function of seed, step and micro-batch alone. */
public final class TextBatches {
    private final TokenText text;
    private final long seed;
    private final int batch;
    private final int sequence;

    /**
     * Makes the batches of a text.
     *
     * @param text long enough for a sequence and the token after it
     * @param seed seed of the run
     * @param batch sequences in a batch
     * @param sequence tokens in a sequence
     */
    public TextBatches(TokenText text, long seed, int batch, int sequence) {
        text.requireWindows(sequence + 1);
        this.text = text;
        this.seed = seed;
        this.batch = batch;
        this.sequence = sequence;
    }

    /** {@return bytes of text for each token, on average} */
    public double bytesPerToken() {
        return text.bytesPerToken();
    }

    /**
     * {@return the batch of a training step} Sequence b starts at {@code r mod starts}, with r the 64 bits of draws 2b and
     * 2b + 1 of the step's stream, and {@code starts} the number of places where a sequence and the token after it fit.
     *
     * @param step optimizer step
     * @param microBatch micro-batch within the step
     */
    public TextBatch training(int step, int microBatch) {
        RandomStream stream = new RandomStream(seed, step, microBatch, 0, Role.OTHER, Purpose.DATA_ORDER, 0);
        long[] starts = new long[batch]; // [batch]
        long places = text.trainLength() - sequence;
        for (int b = 0; b < batch; b++) {
            long high = stream.word(2L * b) & 0xFFFFFFFFL;
            long low = stream.word(2L * b + 1) & 0xFFFFFFFFL;
            starts[b] = Long.remainderUnsigned((high << 32) | low, places);
        }
        return windows(starts);
    }

    /**
     * {@return a batch of held-out text} The windows of all {@code count} batches are spread evenly, without chance.
     *
     * @param index number of the batch, from 0
     * @param count number of batches
     */
    public TextBatch validation(int index, int count) {
        long windows = (long) count * batch;
        long last = text.validationLength() - sequence - 1L; // start of the last window, from the held-out text's start
        long[] starts = new long[batch]; // [batch]
        for (int b = 0; b < batch; b++) {
            long window = (long) index * batch + b;
            starts[b] = text.trainLength() + (windows == 1 ? 0 : spread(last, window, windows - 1));
        }
        return windows(starts);
    }

    /** {@return floor(last · window / count)}, without overflow for any text */
    private static long spread(long last, long window, long count) {
        return last / count * window + last % count * window / count;
    }

    private TextBatch windows(long[] starts) {
        int[] ids = new int[batch * sequence]; // [batch, sequence]
        int[] targets = new int[batch * sequence]; // [batch, sequence]
        for (int b = 0; b < batch; b++) {
            for (int i = 0; i < sequence; i++) {
                ids[b * sequence + i] = text.token(starts[b] + i);
                targets[b * sequence + i] = text.token(starts[b] + i + 1);
            }
        }
        return new TextBatch(ids, targets);
    }
}
