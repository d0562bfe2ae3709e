package dev.nibble.models;

import dev.nibble.models.train.TaskKind;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.SequencedMap;

/**
 * How well held-out data is predicted.
 *
 * @param step optimizer steps done before
 * @param validationLoss mean cross-entropy over the fixed validation windows or samples, nats
 * @param validationAccuracy share of the validation samples that are classified right, in [0, 1]; NaN for a language
 *     model
 * @param scores what else was measured, by name: see {@link TaskKind#scores} and {@link #averageNames}
 */
public record Evaluation(
        int step, double validationLoss, double validationAccuracy, SequencedMap<String, Double> scores) {
    /** Score: {@code validationLoss} of the weights' averages. */
    public static final String AVERAGED_LOSS = "emaValidationLoss";

    /** Score: {@code validationAccuracy} of the weights' averages. */
    public static final String AVERAGED_ACCURACY = "emaValidationAccuracy";

    private static final String PREFIX = "ema";

    /** Copies the scores. */
    public Evaluation {
        scores = Collections.unmodifiableSequencedMap(new LinkedHashMap<>(scores));
    }

    /** Makes an evaluation without further scores. */
    public Evaluation(int step, double validationLoss, double validationAccuracy) {
        this(step, validationLoss, validationAccuracy, new LinkedHashMap<>());
    }

    /**
     * {@return names of the scores that an evaluation also has if the run keeps averages of its weights: those of the same model with them}
     *
     * @param kind what the task learns
     */
    public static List<String> averageNames(TaskKind kind) {
        List<String> names = new ArrayList<>(List.of(AVERAGED_LOSS));
        if (kind.hasAccuracy()) {
            names.add(AVERAGED_ACCURACY);
        }
        kind.scores().forEach(name -> names.add(averaged(name)));
        return List.copyOf(names);
    }

    private static String averaged(String name) {
        return PREFIX + name.substring(0, 1).toUpperCase(Locale.ROOT) + name.substring(1);
    }

    /**
     * {@return this evaluation, with another one as scores}
     *
     * @param other of the same step, with the averages of the weights
     */
    Evaluation withAverages(Evaluation other) {
        SequencedMap<String, Double> all = new LinkedHashMap<>(scores);
        all.put(AVERAGED_LOSS, other.validationLoss);
        if (!Double.isNaN(validationAccuracy)) {
            all.put(AVERAGED_ACCURACY, other.validationAccuracy);
        }
        other.scores.forEach((name, value) -> all.put(averaged(name), value));
        return new Evaluation(step, validationLoss, validationAccuracy, all);
    }

    /** {@return the scores of {@link #averageNames}; none if the run keeps no averages} */
    public SequencedMap<String, Double> averages() {
        SequencedMap<String, Double> averages = new LinkedHashMap<>(scores);
        averages.keySet().removeIf(name -> !name.startsWith(PREFIX));
        return averages;
    }

    /** {@return the loss by which evaluations are compared: that of the averages if the run keeps some, since they are what is used then} */
    double decisiveLoss() {
        return scores.getOrDefault(AVERAGED_LOSS, validationLoss);
    }

    /** {@return one of the scores, NaN if it was not measured} */
    public double score(String name) {
        return scores.getOrDefault(name, Double.NaN);
    }
}
