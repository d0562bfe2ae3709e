package dev.nibble.models;

import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.PlanRequest;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SortedMap;
import java.util.SortedSet;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Stream;

/**
 * Which quantizer each layer has at each step, and under which it backs off. Fine-tuning is a part of it: from step {@code steps}
 * on, quantizers are asked for the plans of that phase.
 *
 * @param byLayer what each layer has, by layer name: from when, ascending; the first from step 0
 * @param fallbacks under what layers back off, by layer name; a layer that is not here does not
 * @param steps steps before fine-tuning
 */
record PrecisionSchedule(Map<String, List<Change>> byLayer, Map<String, Precision> fallbacks, int steps) {
    /**
     * From when a layer has a quantizer.
     *
     * @param from when
     * @param precision the quantizer
     */
    record Change(Moment from, Precision precision) {}

    /** Copies the maps. */
    PrecisionSchedule {
        byLayer = new LinkedHashMap<>(byLayer);
        fallbacks = new LinkedHashMap<>(fallbacks);
    }

    /** {@return this schedule in a run with so many steps before fine-tuning} */
    PrecisionSchedule withSteps(int number) {
        return new PrecisionSchedule(byLayer, fallbacks, number);
    }

    /** {@return the part of the training that a step belongs to} */
    PlanRequest.Phase phase(int step) {
        return step < steps ? PlanRequest.Phase.LOW_BIT : PlanRequest.Phase.FINE_TUNE;
    }

    /** {@return what the layer has at a step if it does not back off} */
    Precision at(String layer, int step) {
        List<Change> changes = byLayer.get(layer);
        Precision now = changes.getFirst().precision();
        for (Change change : changes) {
            if (change.from().stepIn(steps) <= step) {
                now = change.precision();
            }
        }
        return now;
    }

    /** {@return the quantizers at a step, for what asks for them by layer} */
    Map<String, LinearQuantizer> quantizers(int step) {
        Map<String, LinearQuantizer> quantizers = new LinkedHashMap<>();
        byLayer.keySet().forEach(layer -> quantizers.put(layer, at(layer, step).quantizer()));
        return quantizers;
    }

    /** {@return under what a layer backs off; empty if it does not} */
    Optional<Precision> fallback(String layer) {
        return Optional.ofNullable(fallbacks.get(layer));
    }

    /** {@return what the layer has under this label at some step, if it ever does} */
    Optional<Precision> named(String layer, String label) {
        return Stream.concat(
                        byLayer.getOrDefault(layer, List.of()).stream().map(Change::precision),
                        fallback(layer).stream())
                .filter(precision -> precision.label().equals(label))
                .findFirst();
    }

    /** {@return the layers that never have the quantizer of this label} */
    List<String> unknown(SortedMap<String, String> labels) {
        return byLayer.keySet().stream()
                .filter(layer -> named(layer, labels.getOrDefault(layer, "")).isEmpty())
                .sorted()
                .toList();
    }

    /** {@return the steps at which a layer's quantizer changes; and 0} */
    SortedSet<Integer> changes() {
        SortedSet<Integer> changes = new TreeSet<>();
        byLayer.values()
                .forEach(
                        list -> list.forEach(change -> changes.add(change.from().stepIn(steps))));
        return changes;
    }

    /** {@return all quantizers of each layer in words, by layer name: {@code fp8, from step 400 on bf16}} */
    SortedMap<String, String> labels() {
        SortedMap<String, String> labels = new TreeMap<>();
        byLayer.forEach((layer, list) -> {
            StringBuilder text = new StringBuilder(list.getFirst().precision().label());
            for (Change change : list.subList(1, list.size())) {
                text.append(
                                change.from().kind() == Moment.Kind.FINE_TUNING
                                        ? ", in fine-tuning "
                                        : ", from step " + change.from().step() + " on ")
                        .append(change.precision().label());
            }
            labels.put(layer, text.toString());
        });
        return labels;
    }
}
