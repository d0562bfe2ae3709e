package dev.nibble.models.text;

import dev.nibble.models.data.EpochOrder;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/** Which texts make a batch. */
public final class SentenceBatches {
    private final TokenizedTexts train;
    private final TokenizedTexts test;
    private final int batch;
    private final int microBatches;
    private final EpochOrder order;

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
        this.batch = batch;
        this.microBatches = microBatches;
        this.order = new EpochOrder(seed, train.count());
    }

    /**
     * {@return the batch of a training step} The batches walk through the texts as {@link EpochOrder} says; text b of this one is number
     * {@code (step · microBatches + microBatch) · batch + b}.
     *
     * @param step optimizer step
     * @param microBatch micro-batch within the step
     */
    public SentenceBatch training(int step, int microBatch) {
        long first = ((long) step * microBatches + microBatch) * batch;
        List<TokenizedText> chosen = new ArrayList<>();
        for (int b = 0; b < batch; b++) {
            chosen.add(train.texts().get(order.sample(first + b)));
        }
        return SentenceBatch.of(chosen);
    }

    /** {@return a batch of the longest training texts: within an epoch none has more tokens} */
    public SentenceBatch largest() {
        List<TokenizedText> longest = new ArrayList<>(train.texts());
        longest.sort(Comparator.comparingInt((TokenizedText text) -> text.tokens().length)
                .reversed());
        List<TokenizedText> chosen = new ArrayList<>();
        for (int b = 0; b < batch; b++) { // small data repeats within a batch
            chosen.add(longest.get(b % longest.size()));
        }
        return SentenceBatch.of(chosen);
    }

    /** {@return how many tokens are asked in all validation batches} */
    public long validationQuestions() {
        return test.asked();
    }

    /** {@return how many batches hold the texts to test with; the last one may be smaller} */
    public int validationBatches() {
        return Math.ceilDiv(test.count(), batch);
    }

    /** {@return a batch of texts to test with, in the order of the file} */
    public SentenceBatch validation(int index) {
        int first = index * batch; // below the number of texts
        return SentenceBatch.of(test.texts().subList(first, Math.min(first + batch, test.count())));
    }
}
