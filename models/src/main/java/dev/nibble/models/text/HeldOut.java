package dev.nibble.models.text;

import dev.nibble.error.FormatException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * Samples to train on, and samples to test with.
 *
 * @param train to train on
 * @param test to test with
 */
record HeldOut<T>(List<T> train, List<T> test) {
    private static final int FOLD = 5; // one sample of so many is for testing

    /**
     * {@return samples with those of a file of their own, or with the last of each five}
     *
     * @param name where the samples are from, for the message
     * @param what samples are called
     * @throws FormatException if there are too few to hold some out
     */
    static <T> HeldOut<T> of(String name, String what, List<T> samples, Optional<List<T>> own) {
        if (own.isPresent()) {
            return new HeldOut<>(samples, own.get());
        }
        if (samples.size() < FOLD) {
            throw new FormatException("%s holds %d %s, but needs at least %d: one of %d is held out"
                    .formatted(name, samples.size(), what, FOLD, FOLD));
        }
        List<T> kept = new ArrayList<>();
        List<T> heldOut = new ArrayList<>();
        for (int i = 0; i < samples.size(); i++) {
            (i % FOLD == FOLD - 1 ? heldOut : kept).add(samples.get(i));
        }
        return new HeldOut<>(kept, heldOut);
    }
}
