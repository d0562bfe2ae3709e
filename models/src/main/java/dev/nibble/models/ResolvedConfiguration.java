package dev.nibble.models;

import dev.nibble.models.files.JsonFields;
import dev.nibble.models.files.JsonTree;
import dev.nibble.models.files.Sha256;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.TreeSet;

/**
 * Everything that decides the numbers of a run, with every default filled in, as a checkpoint keeps it.
 *
 * @param preset name of the preset
 * @param seed seed of the run
 * @param steps optimizer steps before fine-tuning
 * @param backend name of the backend
 * @param settings value of every setting, by path
 * @param layers quantizer of every layer with all its options, by layer name; those of later steps behind it
 */
record ResolvedConfiguration(
        String preset,
        long seed,
        int steps,
        String backend,
        SortedMap<String, String> settings,
        SortedMap<String, String> layers) {
    /** Settings that change no weight, or that are compared in another way. */
    private static final Set<String> FREE = Set.of(
            "data.path",
            "data.tokens",
            "train.steps",
            "train.evaluateEvery",
            "train.telemetryEvery",
            "train.checkpointEvery",
            "train.checkpointMinutes",
            "train.checkpointKeep",
            "train.checkpointBest",
            "train.tensorboard",
            RecomputeSetting.PATH);

    private static final String ABSENT = "(none)";

    /** {@return the configuration as JSON} */
    Map<String, Object> json() {
        Map<String, Object> json = new LinkedHashMap<>();
        json.put("preset", preset);
        json.put("seed", seed);
        json.put("steps", steps);
        json.put("backend", backend);
        json.put("settings", settings);
        json.put("layers", layers);
        return json;
    }

    /**
     * {@return a configuration from JSON}
     *
     * @throws dev.nibble.error.FormatException naming a field that is missing or unfit
     */
    static ResolvedConfiguration of(JsonFields json) {
        String preset = json.text("preset");
        SortedMap<String, String> settings = json.texts("settings");
        if (preset.equals(TextPreset.NAME)) {
            TextPreset.complete(settings);
        }
        return new ResolvedConfiguration(
                preset,
                json.whole("seed", Long.MIN_VALUE, Long.MAX_VALUE),
                (int) json.whole("steps", 1, Integer.MAX_VALUE),
                json.text("backend"),
                settings,
                json.texts("layers"));
    }

    /**
     * {@return a configuration of a run that is the same, with these quantizers in every step}
     *
     * @param quantizers the quantizer of each layer with all its options, by layer name
     */
    RunConfig config(SortedMap<String, String> quantizers) {
        List<LayerOverride> overrides = new ArrayList<>();
        quantizers.forEach((name, label) -> overrides.add(new LayerOverride(name, QuantizerChoice.parse(label))));
        return new RunConfig(
                preset,
                QuantizerChoice.of("fp32"),
                overrides,
                backend,
                seed,
                steps,
                0,
                false,
                NonFinitePolicy.STOP,
                settings);
    }

    /** {@return SHA-256 of what must be the same for a run to go on to the same bits; steps and layers included} */
    String hash() {
        Map<String, Object> parts = new LinkedHashMap<>(json());
        parts.remove("backend");
        parts.put("settings", fixed());
        return Sha256.of(JsonTree.compact(parts).getBytes(StandardCharsets.UTF_8));
    }

    private SortedMap<String, String> fixed() {
        SortedMap<String, String> fixed = new TreeMap<>(settings);
        fixed.keySet().removeAll(FREE);
        // a checkpoint of a version that had no averages says nothing about them
        if (!TrainingSettings.keepsAverages(fixed)) {
            fixed.remove(TrainingSettings.EMA);
        }
        if (preset.equals(TextPreset.NAME)) {
            TextPreset.reduce(fixed);
        }
        return fixed;
    }

    /** {@return what is other in a checkpoint's configuration, but for the quantizers of layers; steps may have grown} */
    List<String> differences(ResolvedConfiguration saved) {
        List<String> differences = new ArrayList<>();
        compare(differences, "preset", saved.preset, preset);
        compare(differences, "seed", String.valueOf(saved.seed), String.valueOf(seed));
        if (steps < saved.steps) {
            differences.add("steps is %d here, but %d there, and may only grow".formatted(steps, saved.steps));
        }
        SortedMap<String, String> here = fixed();
        SortedMap<String, String> there = saved.fixed();
        if (preset.equals(TextPreset.NAME) && saved.preset.equals(preset)) {
            TextPreset.completeLogits(here);
            TextPreset.completeLogits(there);
        }
        Set<String> paths = new TreeSet<>(here.keySet());
        paths.addAll(there.keySet());
        // what is done about a step that goes wrong may be another thing now
        GuardSettings.SETTINGS.forEach(setting -> paths.remove(setting.path()));
        for (String path : paths) {
            compare(differences, path, there.getOrDefault(path, ABSENT), here.getOrDefault(path, ABSENT));
        }
        return differences;
    }

    private static void compare(List<String> differences, String name, String there, String here) {
        if (!there.equals(here)) {
            differences.add("%s is %s here, but %s there".formatted(name, shown(here), shown(there)));
        }
    }

    private static String shown(String value) {
        return value.isEmpty() ? "empty" : JsonTree.line(value);
    }

    /** {@return the layers whose quantizer is another one in a checkpoint, or that it does not have} */
    Set<String> otherLayers(ResolvedConfiguration saved) {
        Set<String> others = new TreeSet<>();
        layers.forEach((name, label) -> {
            if (!label.equals(saved.layers.get(name))) {
                others.add(name);
            }
        });
        return others;
    }

    /** {@return which quantizer is which in the checkpoint, and for how many layers} */
    List<String> quantizerDifferences(ResolvedConfiguration saved) {
        Map<String, List<String>> names = new LinkedHashMap<>(); // by what is here and there
        for (String layer : otherLayers(saved)) {
            String there = saved.layers.getOrDefault(layer, ABSENT);
            names.computeIfAbsent(layers.get(layer) + " here, but " + there + " there", _ -> new ArrayList<>())
                    .add(layer);
        }
        List<String> differences = new ArrayList<>();
        names.forEach((what, layersOf) -> differences.add(
                layersOf.size() == 1
                        ? "the quantizer of layer " + layersOf.getFirst() + " is " + what
                        : "the quantizer of %d layers (%s to %s) is %s"
                                .formatted(layersOf.size(), layersOf.getFirst(), layersOf.getLast(), what)));
        return differences;
    }
}
