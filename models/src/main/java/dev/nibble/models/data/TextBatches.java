package dev.nibble.models.data;

import dev.nibble.random.Purpose;
import dev.nibble.random.RandomStream;
import dev.nibble.tensor.Role;

/** Which sequences make a batch: a function of seed, step and micro-batch alone. */
public final class TextBatches {
    private final ByteText text;
    private final long seed;
    private final int batch;
    private final int sequence;

    /**
     * Makes the batches of a text.
     *
     * @param text long enough for a sequence and the byte after it
     * @param seed seed of the run
     * @param batch sequences in a batch
     * @param sequence tokens in a sequence
     */
    public TextBatches(ByteText text, long seed, int batch, int sequence) {
        this.text = text.requireWindows(sequence + 1);
        this.seed = seed;
        this.batch = batch;
        this.sequence = sequence;
    }

    /**
     * {@return the batch of a training step} Sequence b starts at {@code r mod starts}, with r the 64 bits of draws 2b and
     * 2b + 1 of the step's stream, and {@code starts} the number of places where a sequence and the byte after it fit.
     *
     * @param step optimizer step
     * @param microBatch micro-batch within the step
     */
    public TextBatch training(int step, int microBatch) {
        RandomStream stream = new RandomStream(seed, step, microBatch, 0, Role.OTHER, Purpose.DATA_ORDER, 0);
        int[] starts = new int[batch]; // [batch]
        long places = (long) text.trainLength() - sequence;
        for (int b = 0; b < batch; b++) {
            long high = stream.word(2L * b) & 0xFFFFFFFFL;
            long low = stream.word(2L * b + 1) & 0xFFFFFFFFL;
            starts[b] = (int) Long.remainderUnsigned((high << 32) | low, places);
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
        int[] starts = new int[batch]; // [batch]
        for (int b = 0; b < batch; b++) {
            long window = (long) index * batch + b;
            starts[b] = text.trainLength() + (int) (windows == 1 ? 0 : last * window / (windows - 1));
        }
        return windows(starts);
    }

    private TextBatch windows(int[] starts) {
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
