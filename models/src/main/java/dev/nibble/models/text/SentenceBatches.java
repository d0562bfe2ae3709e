package dev.nibble.models.text;

import dev.nibble.random.Purpose;
import dev.nibble.random.RandomStream;
import dev.nibble.tensor.Role;

/** Which texts make a batch. */
public final class SentenceBatches {
    private final TokenizedTexts train;
    private final TokenizedTexts test;
    private final long seed;
    private final int batch;
    private final int microBatches;
    private int orderEpoch = -1;
    private int[] order = new int[0]; // [training texts]: of orderEpoch

    /**
     * Makes the batches of some texts.
     *
     * @param train to train on
     * @param test to test with
     * @param seed seed of the run
     * @param batch texts in a batch
     * @param microBatches batches in a step
     */
    public SentenceBatches(TokenizedTexts train, TokenizedTexts test, long seed, int batch, int microBatches) {
        this.train = train;
        this.test = test;
        this.seed = seed;
        this.batch = batch;
        this.microBatches = microBatches;
    }

    /**
     * {@return the batch of a training step} The batches walk through the texts in an order that is new in each epoch, so that an
     * epoch has each text once: with n texts, number {@code i = (step · microBatches + microBatch) · batch + b} is element i mod n of
     * the order of epoch i / n.
     *
     * @param step optimizer step
     * @param microBatch micro-batch within the step
     */
    public SentenceBatch training(int step, int microBatch) {
        int[] chosen = new int[batch]; // [batch]
        int count = train.count();
        long first = ((long) step * microBatches + microBatch) * batch;
        for (int b = 0; b < batch; b++) {
            chosen[b] = order(Math.toIntExact((first + b) / count))[(int) ((first + b) % count)];
        }
        return SentenceBatch.of(train, chosen);
    }

    /**
     * {@return the order of an epoch, [training texts]} Fisher and Yates' shuffle of 0..n-1: for i = n-1 down to 1, elements i and
     * {@code r mod (i + 1)} change places, r the 64 bits of draws 2i and 2i + 1 of the epoch's stream.
     */
    private int[] order(int epoch) {
        if (epoch != orderEpoch) {
            RandomStream stream = new RandomStream(seed, epoch, 0, 0, Role.OTHER, Purpose.DATA_ORDER, 0);
            int[] shuffled = new int[train.count()]; // [training texts]
            for (int i = 0; i < shuffled.length; i++) {
                shuffled[i] = i;
            }
            for (int i = shuffled.length - 1; i > 0; i--) {
                long high = stream.word(2L * i) & 0xFFFFFFFFL;
                long low = stream.word(2L * i + 1) & 0xFFFFFFFFL;
                int other = (int) Long.remainderUnsigned((high << 32) | low, i + 1L);
                int kept = shuffled[i];
                shuffled[i] = shuffled[other];
                shuffled[other] = kept;
            }
            order = shuffled;
            orderEpoch = epoch;
        }
        return order;
    }

    /** {@return texts in all validation batches} */
    public int validationTexts() {
        return test.count();
    }

    /** {@return how many batches hold the texts to test with; the last one may be smaller} */
    public int validationBatches() {
        return Math.ceilDiv(test.count(), batch);
    }

    /** {@return a batch of texts to test with, in the order of the file} */
    public SentenceBatch validation(int index) {
        int first = index * batch; // below the number of texts
        int[] chosen = new int[Math.min(batch, test.count() - first)]; // [batch]
        for (int b = 0; b < chosen.length; b++) {
            chosen[b] = first + b;
        }
        return SentenceBatch.of(test, chosen);
    }
}
