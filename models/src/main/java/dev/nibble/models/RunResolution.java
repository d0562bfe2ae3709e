package dev.nibble.models;

import dev.nibble.spi.BackendProvider;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.Names;
import dev.nibble.spi.OptionValues;
import dev.nibble.spi.Quantizer;
import dev.nibble.spi.QuantizerProvider;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.function.Consumer;

/**
 * A configuration in which every name has been found.
 *
 * @param preset the preset
 * @param values its settings
 * @param backend the backend
 * @param precision how each layer is computed, and from when on
 * @param guard what is done about steps that go wrong
 * @param named each quantizer of the configuration with the values of all its options
 */
record RunResolution(
        Preset preset,
        SettingValues values,
        BackendProvider backend,
        PrecisionSchedule precision,
        GuardSettings guard,
        Map<QuantizerChoice, QuantizerChoice> named) {
    /** Label of the quantizer that is safer than any other. */
    static final String EXACT = "fp32";

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
        values.ifPresent(v -> problems.check(() -> RecomputeSetting.isWanted(v)));
        Optional<GuardSettings> guard = values.flatMap(v -> problems.collect(() -> GuardSettings.of(v)));
        QuantizersByLayer assignment = new QuantizersByLayer(config, quantizers, problems);
        PrecisionSchedule precision = assignment.assign(
                preset, layers, guard, values.map(v -> steps(config, v)).orElse(0));
        Optional<BackendProvider> backend = problems.collect(() -> backends.get(config.backend()));
        if (!layers.isEmpty()) {
            values.ifPresent(v -> problems.check(() -> data.accept(v)));
        }
        problems.throwIfAny();
        return new RunResolution(
                preset,
                values.orElseThrow(),
                backend.orElseThrow(),
                precision,
                guard.orElseThrow(),
                assignment.named());
    }

    /** {@return steps before fine-tuning; 0 if the preset has no setting for them} */
    private static int steps(RunConfig config, SettingValues values) {
        return config.steps() > 0
                ? config.steps()
                : Integer.parseInt(values.asMap().getOrDefault("train.steps", "0"));
    }

    private static final class QuantizersByLayer {
        private final RunConfig config;
        private final QuantizerLookup lookup;
        private final Problems problems;
        private final Map<QuantizerChoice, Optional<Created>> created = new LinkedHashMap<>();

        /** A quantizer, and its name with the values of all options. */
        private record Created(Quantizer quantizer, QuantizerChoice named) {}

        QuantizersByLayer(RunConfig config, QuantizerLookup lookup, Problems problems) {
            this.config = config;
            this.lookup = lookup;
            this.problems = problems;
        }

        PrecisionSchedule assign(Preset preset, List<LinearLayer> layers, Optional<GuardSettings> guard, int steps) {
            quantizer(config.quantizer());
            config.overrides().forEach(override -> quantizer(override.choice()));
            checkPatterns(layers.stream().map(l -> l.site().name()).toList(), steps);
            Optional<QuantizerChoice> fallback = guard.filter(g -> g.does(GuardAction.BACKOFF, config.nonFinite()))
                    .map(GuardSettings::fallback);
            fallback.ifPresent(this::quantizer);
            Map<String, List<PrecisionSchedule.Change>> byLayer = new LinkedHashMap<>();
            Map<String, Precision> fallbacks = new LinkedHashMap<>();
            for (LinearLayer layer : layers) {
                List<PrecisionSchedule.Change> changes = changes(preset, layer, steps);
                byLayer.put(layer.site().name(), changes);
                fallback.filter(_ -> changes.stream()
                                .anyMatch(change -> !change.precision().label().equals(EXACT)))
                        .map(choice -> matches(layer, Moment.Kind.BACK_OFF).isEmpty()
                                ? choice
                                : matches(layer, Moment.Kind.BACK_OFF).getLast().choice())
                        .flatMap(choice -> precision(choice, layer))
                        .ifPresent(precision -> fallbacks.put(layer.site().name(), precision));
            }
            return new PrecisionSchedule(byLayer, fallbacks, steps);
        }

        /** {@return what a layer has, from when on; empty where a problem has been found} */
        private List<PrecisionSchedule.Change> changes(Preset preset, LinearLayer layer, int steps) {
            String own = preset.ownQuantizer(layer);
            List<LayerOverride> all = new ArrayList<>();
            all.add(new LayerOverride("*", own.isEmpty() ? config.quantizer() : QuantizerChoice.of(own)));
            all.addAll(matches(layer, Moment.Kind.STEP));
            all.addAll(matches(layer, Moment.Kind.FINE_TUNING));
            all.sort(Comparator.comparingInt(override -> override.from().stepIn(steps))); // stable
            SequencedMap<Moment, QuantizerChoice> choices = new LinkedHashMap<>();
            all.forEach(override -> choices.put(override.from(), override.choice()));
            List<PrecisionSchedule.Change> changes = new ArrayList<>();
            choices.forEach((from, choice) -> precision(choice, layer)
                    .filter(precision -> changes.isEmpty()
                            || !changes.getLast().precision().label().equals(precision.label()))
                    .ifPresent(precision -> changes.add(new PrecisionSchedule.Change(from, precision))));
            return changes;
        }

        private Optional<Precision> precision(QuantizerChoice choice, LinearLayer layer) {
            return quantizer(choice)
                    .flatMap(c -> problems.collect(() -> c.quantizer().linear(layer))
                            .map(linear -> new Precision(c.named().label(), linear)));
        }

        private List<LayerOverride> matches(LinearLayer layer, Moment.Kind kind) {
            return config.overrides().stream()
                    .filter(override -> override.from().kind() == kind)
                    .filter(override -> override.matches(layer.site().name()))
                    .toList();
        }

        Map<QuantizerChoice, QuantizerChoice> named() {
            Map<QuantizerChoice, QuantizerChoice> named = new LinkedHashMap<>();
            created.forEach((choice, found) -> found.ifPresent(c -> named.put(choice, c.named())));
            return named;
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

        private void checkPatterns(List<String> names, int steps) {
            for (LayerOverride override : config.overrides()) {
                if (!names.isEmpty() && names.stream().noneMatch(override::matches)) {
                    problems.add("layer pattern '" + override.pattern() + "' matches no layer; "
                            + Names.suggest(override.pattern(), names));
                }
                checkMoment(override, steps);
            }
        }

        private void checkMoment(LayerOverride override, int steps) {
            int fineTuning = fineTuneSteps();
            switch (override.from().kind()) {
                case STEP -> {
                    if (steps > 0 && override.from().step() >= steps + fineTuning) {
                        problems.add("layer pattern '%s' begins at step %d, but the run has %d steps"
                                .formatted(override.key(), override.from().step(), steps + fineTuning));
                    }
                }
                case FINE_TUNING -> {
                    if (fineTuning == 0) {
                        problems.add("layer pattern '" + override.key()
                                + "' begins with fine-tuning, but there is none; set train.fineTuneSteps");
                    }
                }
                case BACK_OFF -> {
                    boolean backsOff = config.nonFinite() == NonFinitePolicy.BACKOFF
                            || config.settings().getOrDefault("guard.spike", "").equals("backoff");
                    if (!backsOff) {
                        problems.add("layer pattern '" + override.key()
                                + "' is for layers that back off, but no policy lets them; set nonfinite or guard.spike"
                                + " to backoff");
                    }
                }
            }
        }

        private int fineTuneSteps() {
            String value = config.settings().getOrDefault("train.fineTuneSteps", "0");
            return value.matches("\\d{1,9}") ? Integer.parseInt(value) : 0;
        }
    }
}
