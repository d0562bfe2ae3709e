package dev.nibble.models;

import dev.nibble.models.layers.QuantizedLayer;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearQuantizer;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.Function;

/** The quantizer that each layer of a run has now. It changes between steps. */
final class ActiveQuantizers {
    private final PrecisionSchedule schedule;
    private final Map<String, Precision> active = new LinkedHashMap<>(); // by layer name

    /** Starts with what the layers have at step 0. */
    ActiveQuantizers(PrecisionSchedule schedule) {
        this.schedule = schedule;
        schedule.byLayer().keySet().forEach(layer -> active.put(layer, schedule.at(layer, 0)));
    }

    /** {@return what answers with the quantizer that a layer has when it is asked} */
    Function<LinearLayer, LinearQuantizer> byLayer() {
        return layer -> active.get(layer.site().name()).quantizer();
    }

    /** {@return the quantizer of each layer with all its options, by layer name} */
    SortedMap<String, String> labels() {
        SortedMap<String, String> labels = new TreeMap<>();
        active.forEach((layer, precision) -> labels.put(layer, precision.label()));
        return labels;
    }

    /** {@return the names of the layers, in the model's order} */
    List<String> names() {
        return List.copyOf(active.keySet());
    }

    /** {@return whether another quantizer is safer for a layer than the one it has} */
    boolean canBackOff(String layer) {
        String now = active.get(layer).label();
        return !now.equals(RunResolution.EXACT)
                && schedule.fallback(layer)
                        .filter(fallback -> !fallback.label().equals(now))
                        .isPresent();
    }

    /** {@return what a layer backs off to} */
    String fallback(String layer) {
        return schedule.fallback(layer).orElseThrow().label();
    }

    /**
     * Gives the layers the quantizers that they had when a checkpoint was written. A layer whose label this run does not know keeps its
     * own, and that one begins anew.
     *
     * @param step optimizer steps done then
     * @return these layers
     */
    Set<String> restore(SortedMap<String, String> labels, int step, List<QuantizedLayer> layers) {
        Set<String> unknown = new TreeSet<>(schedule.unknown(labels));
        for (QuantizedLayer layer : layers) {
            String name = layer.layer().site().name();
            if (unknown.contains(name)) {
                active.put(name, schedule.at(name, Math.max(0, step - 1)));
                layer.use(active.get(name).quantizer());
            } else {
                change(layer, name, schedule.named(name, labels.get(name)).orElseThrow());
            }
        }
        return unknown;
    }

    /**
     * Gives the layers the quantizers of a step.
     *
     * @param backedOff layers that back off in it
     * @return what has changed, but for layers that begin to back off, which are told of before; empty for nothing
     */
    Optional<RunEvent> advance(int step, Set<String> backedOff, List<QuantizedLayer> layers) {
        Map<String, List<String>> changed = new LinkedHashMap<>(); // layers by what is told of them
        for (QuantizedLayer layer : layers) {
            String name = layer.layer().site().name();
            Optional<Precision> fallback = backedOff.contains(name) ? schedule.fallback(name) : Optional.empty();
            Precision next = fallback.orElseGet(() -> schedule.at(name, step));
            String before = active.get(name).label();
            if (change(layer, name, next) && fallback.isEmpty()) {
                changed.computeIfAbsent("from %s to %s".formatted(before, next.label()), _ -> new ArrayList<>())
                        .add(name);
            }
        }
        if (changed.isEmpty()) {
            return Optional.empty();
        }
        List<String> parts = new ArrayList<>();
        List<String> names = new ArrayList<>();
        changed.forEach((what, of) -> {
            parts.add(named(of) + " " + what);
            names.addAll(of);
        });
        return Optional.of(new RunEvent(
                step,
                RunEvent.Cause.SCHEDULE,
                GuardAction.NOTE,
                names,
                step,
                "from step " + step + " on: " + String.join("; ", parts)));
    }

    /** {@return layers in few words} */
    static String named(List<String> layers) {
        return layers.size() == 1
                ? "layer " + layers.getFirst()
                : "%d layers (%s to %s)".formatted(layers.size(), layers.getFirst(), layers.getLast());
    }

    private boolean change(QuantizedLayer layer, String name, Precision next) {
        if (active.get(name).label().equals(next.label())) {
            return false;
        }
        active.put(name, next);
        layer.use(next.quantizer());
        return true;
    }
}
