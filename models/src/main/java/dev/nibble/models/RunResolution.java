package dev.nibble.models;

import dev.nibble.spi.BackendProvider;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.Names;
import dev.nibble.spi.OptionValues;
import dev.nibble.spi.Quantizer;
import dev.nibble.spi.QuantizerProvider;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.function.Consumer;

/**
 * A configuration in which every name has been found.
 *
 * @param preset the preset
 * @param values its settings
 * @param backend the backend
 * @param layerQuantizers how each layer is computed, by layer name
 * @param layerLabels the quantizer of each layer with the values of all its options, by layer name
 * @param named each quantizer of the configuration with the values of all its options
 */
record RunResolution(
        Preset preset,
        SettingValues values,
        BackendProvider backend,
        Map<String, LinearQuantizer> layerQuantizers,
        SortedMap<String, String> layerLabels,
        Map<QuantizerChoice, QuantizerChoice> named) {

    /** {@return a quantizer of the configuration with the values of all its options} */
    QuantizerChoice named(QuantizerChoice choice) {
        return named.get(choice);
    }

    /** {@return what a configuration means, with data that is there} */
    static RunResolution of(RunConfig config, Preset preset, QuantizerLookup quantizers, BackendLookup backends) {
        return of(config, preset, quantizers, backends, preset::requireData);
    }

    /** {@return what a configuration means, whether its data is there or not} */
    static RunResolution ofValues(RunConfig config, Preset preset, QuantizerLookup quantizers, BackendLookup backends) {
        return of(config, preset, quantizers, backends, _ -> {});
    }

    private static RunResolution of(
            RunConfig config,
            Preset preset,
            QuantizerLookup quantizers,
            BackendLookup backends,
            Consumer<SettingValues> data) {
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
            values.ifPresent(v -> problems.check(() -> data.accept(v)));
        }
        problems.throwIfAny();
        return new RunResolution(
                preset, values.orElseThrow(), backend.orElseThrow(), byLayer, assignment.labels, assignment.named());
    }

    private static final class QuantizersByLayer {
        private final RunConfig config;
        private final QuantizerLookup lookup;
        private final Problems problems;
        private final Map<QuantizerChoice, Optional<Created>> created = new LinkedHashMap<>();
        private final SortedMap<String, String> labels = new TreeMap<>(); // by layer name

        /** A quantizer, and its name with the values of all options. */
        private record Created(Quantizer quantizer, QuantizerChoice named) {}

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
                    labels.put(name, c.named().label());
                    problems.collect(() -> c.quantizer().linear(layer)).ifPresent(q -> byLayer.put(name, q));
                });
            }
            return byLayer;
        }

        Map<QuantizerChoice, QuantizerChoice> named() {
            Map<QuantizerChoice, QuantizerChoice> named = new LinkedHashMap<>();
            created.forEach((choice, found) -> found.ifPresent(c -> named.put(choice, c.named())));
            return named;
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
                        QuantizerChoice named = new QuantizerChoice(provider.name(), options.asMap());
                        return new Created(provider.create(options), named);
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
