package dev.nibble.models;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.SequencedMap;

/**
 * How well held-out data is predicted.
 *
 * @param step optimizer steps done before
 * @param validationLoss mean cross-entropy over the fixed validation windows or samples, nats
 * @param validationAccuracy share of the validation samples that are classified right, in [0, 1]; NaN for a language
 *     model
 * @param scores what else was measured, by name: see {@link dev.nibble.models.train.TaskKind#scores}
 */
public record Evaluation(
        int step, double validationLoss, double validationAccuracy, SequencedMap<String, Double> scores) {
    /** Copies the scores. */
    public Evaluation {
        scores = Collections.unmodifiableSequencedMap(new LinkedHashMap<>(scores));
    }

    /** Makes an evaluation without further scores. */
    public Evaluation(int step, double validationLoss, double validationAccuracy) {
        this(step, validationLoss, validationAccuracy, new LinkedHashMap<>());
    }

    /** {@return one of the scores, NaN if it was not measured} */
    public double score(String name) {
        return scores.getOrDefault(name, Double.NaN);
    }
}
