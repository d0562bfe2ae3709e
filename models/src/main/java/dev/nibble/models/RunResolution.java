package dev.nibble.models;

import dev.nibble.error.NibbleException;
import dev.nibble.spi.BackendProvider;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.Names;
import dev.nibble.spi.OptionValues;
import dev.nibble.spi.Quantizer;
import dev.nibble.spi.QuantizerProvider;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.function.Supplier;

/**
 * A configuration in which every name has been found.
 *
 * @param preset the preset
 * @param values its settings
 * @param backend the backend
 * @param layerQuantizers how each layer is computed, by layer name
 * @param layerLabels the quantizer of each layer with the values of all its options, by layer name
 */
record RunResolution(
        Preset preset,
        SettingValues values,
        BackendProvider backend,
        Map<String, LinearQuantizer> layerQuantizers,
        SortedMap<String, String> layerLabels) {

    static RunResolution of(RunConfig config, Preset preset, QuantizerLookup quantizers, BackendLookup backends) {
        Problems problems = new Problems();
        Optional<SettingValues> values = problems.collect(() -> SettingValues.of(preset.settings(), config.settings()));
        List<LinearLayer> layers =
                values.flatMap(v -> problems.collect(() -> preset.layers(v))).orElse(List.of());
        if (config.steps() < 0) {
            problems.add("steps is " + config.steps() + ", but must be 0 (the preset's default) or more");
        }
        problems.collect(config::backendOptions);
        QuantizersByLayer assignment = new QuantizersByLayer(config, quantizers, problems);
        Map<String, LinearQuantizer> byLayer = assignment.assign(preset, layers);
        Optional<BackendProvider> backend = problems.collect(() -> backends.get(config.backend()));
        if (!layers.isEmpty()) {
            values.ifPresent(v -> problems.check(() -> preset.requireData(v)));
        }
        problems.throwIfAny();
        return new RunResolution(preset, values.orElseThrow(), backend.orElseThrow(), byLayer, assignment.labels);
    }

    /**
     * Gathers what is wrong, so that one message can say it all. What the machine lacks, a backend or data, is told when
     * nothing else is wrong.
     */
    private static final class Problems {
        private final Set<String> messages = new LinkedHashSet<>();
        private final List<NibbleException> lacks = new ArrayList<>();

        void add(String message) {
            messages.add(message);
        }

        <T> Optional<T> collect(Supplier<T> source) {
            try {
                return Optional.of(source.get());
            } catch (IllegalArgumentException e) {
                messages.add(e.getMessage());
            } catch (NibbleException e) {
                lacks.add(e);
            }
            return Optional.empty();
        }

        void check(Runnable check) {
            collect(() -> {
                check.run();
                return true;
            });
        }

        void throwIfAny() {
            if (!messages.isEmpty()) {
                throw new IllegalArgumentException(String.join("; ", messages));
            }
            if (!lacks.isEmpty()) {
                throw lacks.getFirst();
            }
        }
    }

    private static final class QuantizersByLayer {
        private final RunConfig config;
        private final QuantizerLookup lookup;
        private final Problems problems;
        private final Map<QuantizerChoice, Optional<Created>> created = new LinkedHashMap<>();
        private final SortedMap<String, String> labels = new TreeMap<>(); // by layer name

        /** A quantizer, and its name with the values of all options. */
        private record Created(Quantizer quantizer, String label) {}

        QuantizersByLayer(RunConfig config, QuantizerLookup lookup, Problems problems) {
            this.config = config;
            this.lookup = lookup;
            this.problems = problems;
        }

        Map<String, LinearQuantizer> assign(Preset preset, List<LinearLayer> layers) {
            quantizer(config.quantizer());
            config.overrides().forEach(override -> quantizer(override.choice()));
            checkPatterns(layers.stream().map(l -> l.site().name()).toList());
            Map<String, LinearQuantizer> byLayer = new LinkedHashMap<>();
            for (LinearLayer layer : layers) {
                String name = layer.site().name();
                quantizer(choice(preset, layer)).ifPresent(c -> {
                    labels.put(name, c.label());
                    problems.collect(() -> c.quantizer().linear(layer)).ifPresent(q -> byLayer.put(name, q));
                });
            }
            return byLayer;
        }

        private QuantizerChoice choice(Preset preset, LinearLayer layer) {
            List<LayerOverride> matches = new ArrayList<>(config.overrides());
            matches.removeIf(override -> !override.matches(layer.site().name()));
            if (!matches.isEmpty()) {
                return matches.getLast().choice();
            }
            String own = preset.ownQuantizer(layer);
            return own.isEmpty() ? config.quantizer() : QuantizerChoice.of(own);
        }

        private Optional<Created> quantizer(QuantizerChoice choice) {
            return created.computeIfAbsent(
                    choice,
                    c -> problems.collect(() -> {
                        QuantizerProvider provider = lookup.get(c.name());
                        OptionValues options = OptionValues.of(provider.name(), provider.options(), c.options());
                        String label = new QuantizerChoice(provider.name(), options.asMap()).label();
                        return new Created(provider.create(options), label);
                    }));
        }

        private void checkPatterns(List<String> names) {
            for (LayerOverride override : config.overrides()) {
                if (!names.isEmpty() && names.stream().noneMatch(override::matches)) {
                    problems.add("layer pattern '" + override.pattern() + "' matches no layer; "
                            + Names.suggest(override.pattern(), names));
                }
            }
        }
    }
}
