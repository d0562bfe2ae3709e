package dev.nibble.models;

import com.google.inject.Guice;
import dev.nibble.models.checkpoint.Checkpoint;
import dev.nibble.models.checkpoint.CheckpointFile;
import dev.nibble.models.files.JsonFields;
import dev.nibble.spi.Names;
import jakarta.inject.Inject;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SortedMap;
import java.util.TreeMap;

/**
 * Trains models by name. Made by {@link #create}, or by the injector of an application that installs {@link NibbleModule}.
 * Stateless; each run opens and closes its own backend.
 */
public final class Runs {
    private final Map<String, Preset> presets;
    private final QuantizerLookup quantizers;
    private final BackendLookup backends;

    @Inject
    Runs(Map<String, Preset> presets, QuantizerLookup quantizers, BackendLookup backends) {
        this.presets = new TreeMap<>(presets);
        this.quantizers = quantizers;
        this.backends = backends;
    }

    /** {@return runs as {@link NibbleModule} wires them} */
    public static Runs create() {
        return Guice.createInjector(new NibbleModule()).getInstance(Runs.class);
    }

    /** {@return the names of the presets, sorted} */
    public List<String> presets() {
        return List.copyOf(presets.keySet());
    }

    /**
     * {@return a preset}
     *
     * @throws IllegalArgumentException naming the known ones and the nearest
     */
    public Preset preset(String name) {
        Preset preset = presets.get(name);
        if (preset == null) {
            throw new IllegalArgumentException(
                    "no preset is named '" + name + "'; " + Names.suggest(name, presets.keySet()));
        }
        return preset;
    }

    /**
     * {@return the names of the layers that overrides can match, in the model's order}
     *
     * @throws IllegalArgumentException if the preset or a setting is wrong
     */
    public List<String> layerNames(RunConfig config) {
        Preset preset = preset(config.preset());
        return preset.layers(SettingValues.of(preset.settings(), config.settings())).stream()
                .map(layer -> layer.site().name())
                .toList();
    }

    /**
     * Checks a configuration without running it: the preset, settings, quantizers with their options, layer patterns,
     * the backend, and whether the data is there.
     *
     * @throws IllegalArgumentException naming every problem
     * @throws dev.nibble.error.NotAvailableException if a named backend is not available
     * @throws dev.nibble.error.NibbleException if the preset looks for its data beforehand, and it is not there
     */
    public void check(RunConfig config) {
        resolve(config);
    }

    /**
     * Checks as {@link #check} does, but for the data.
     *
     * @throws IllegalArgumentException naming every problem
     * @throws dev.nibble.error.NotAvailableException if a named backend is not available
     */
    public void checkValues(RunConfig config) {
        RunResolution.ofValues(config, preset(config.preset()), quantizers, backends);
    }

    /**
     * Trains. The result says how the run ended: a {@link dev.nibble.error.NibbleException}, or a plan that a quantizer refuses,
     * is in it once the backend is open. What a listener throws passes through.
     *
     * @param config what to run
     * @param listener hears of every step, and may end the run
     * @return the result
     * @throws IllegalArgumentException naming every problem of the configuration, before anything starts
     * @throws dev.nibble.error.NotAvailableException if a named backend is not available
     * @throws dev.nibble.error.NibbleException if the data cannot be read
     */
    public RunResult train(RunConfig config, RunListener listener) {
        return prepare(config).train(listener, Optional.empty());
    }

    /**
     * {@return a configuration with its data, ready to run}
     *
     * @throws IllegalArgumentException naming every problem of the configuration
     * @throws dev.nibble.error.NotAvailableException if a named backend is not available
     * @throws dev.nibble.error.NibbleException if the data cannot be read
     */
    PreparedRun prepare(RunConfig config) {
        RunResolution resolution = resolve(config);
        return new PreparedRun(config, resolution, resolution.preset().prepare(resolution.values()));
    }

    /**
     * {@return the recipe in a file}
     *
     * @throws ConfigurationException naming every problem of form, name or type, each with file and line; {@link #check}
     *     finds the others
     * @throws dev.nibble.error.NibbleException if the file cannot be read
     */
    public Recipe readRecipe(Path file) {
        return RecipeReader.read(file, this::preset, this::checkValues);
    }

    /**
     * {@return a configuration as a recipe in YAML, each value with what it does; those that are not given have their
     * defaults}
     *
     * @throws IllegalArgumentException if the preset or a setting is wrong
     */
    public String recipe(RunConfig config) {
        Preset preset = preset(config.preset());
        SettingValues values = SettingValues.of(preset.settings(), withSteps(config));
        List<String> title = List.of(
                "Recipe for preset " + preset.name() + ": " + preset.description() + ".",
                "Train it:  nibble train FILE    Compare with fp32:  nibble compare FILE",
                "A line that is left out has the preset's default. Options of the command line replace what stands here.");
        return RecipeText.of(title, preset, config, values.asMap());
    }

    private static Map<String, String> withSteps(RunConfig config) {
        Map<String, String> settings = new TreeMap<>(config.settings());
        if (config.steps() > 0) {
            settings.put("train.steps", String.valueOf(config.steps()));
        }
        return settings;
    }

    /**
     * {@return a configuration as a recipe in which nothing is left to a default: quantizers have all their options, the
     * backend is named, and paths are absolute} It gives the same bits wherever the backend and the data are the same.
     *
     * @throws IllegalArgumentException naming every problem of the configuration
     * @throws dev.nibble.error.NotAvailableException if a named backend is not available
     */
    public String resolvedRecipe(RunConfig config) {
        RunResolution resolution = resolve(config);
        Preset preset = resolution.preset();
        SortedMap<String, String> values =
                SettingValues.of(preset.settings(), withSteps(config)).asMap();
        for (Setting setting : preset.settings()) {
            if (setting.type() == Setting.Type.PATH) {
                values.computeIfPresent(
                        setting.path(),
                        (_, path) -> path.isEmpty()
                                ? ""
                                : Path.of(path).toAbsolutePath().normalize().toString());
            }
        }
        if (resolution.guard().does(GuardAction.BACKOFF, config.nonFinite())) {
            QuantizerChoice fallback = resolution.guard().fallback();
            values.put(GuardSettings.FALLBACK, resolution.named(fallback).label());
        }
        List<LayerOverride> overrides = config.overrides().stream()
                .map(override ->
                        new LayerOverride(override.pattern(), override.from(), resolution.named(override.choice())))
                .toList();
        RunConfig complete = new RunConfig(
                config.preset(),
                resolution.named(config.quantizer()),
                overrides,
                resolution.backend().name(),
                config.seed(),
                config.steps(),
                config.threads(),
                config.strict(),
                config.nonFinite(),
                values);
        List<String> title = List.of(
                "Recipe of a run of preset " + preset.name() + ", with every value as it was.",
                "Repeat it:  nibble train FILE");
        return RecipeText.of(title, preset, complete, values);
    }

    /**
     * {@return SHA-256 of everything in a configuration that decides the numbers of its run, defaults included, but for the backend and
     * where the data is} Two configurations that say the same in other words have the same.
     *
     * @throws IllegalArgumentException naming every problem of the configuration
     */
    public String fingerprint(RunConfig config) {
        RunConfig anywhere = config.withBackend("auto"); // whether the named one is available does not matter
        RunResolution resolution = RunResolution.ofValues(anywhere, preset(config.preset()), quantizers, backends);
        SettingValues values = resolution.values();
        return new ResolvedConfiguration(
                        config.preset(),
                        config.seed(),
                        config.steps() > 0 ? config.steps() : values.integer("train.steps"),
                        "",
                        values.asMap(),
                        resolution.precision().labels())
                .hash();
    }

    /**
     * {@return what the linear layers of a checkpoint work on in the next step of its run, on a batch of the run's own data}
     *
     * @param checkpoint of this version, verified
     * @param backend what computes: {@code auto}, or a name
     * @param data where the data is now; empty if it is where it was
     * @throws IllegalArgumentException if the configuration in the checkpoint cannot be run here
     * @throws dev.nibble.error.FormatException if the checkpoint does not fit its model, or the data is other data
     * @throws dev.nibble.error.NibbleException if something is lacking
     */
    public CheckpointSample sample(Checkpoint checkpoint, String backend, Optional<Path> data) {
        CheckpointState state = CheckpointState.read(checkpoint);
        RunConfig saved = state.configuration().config(state.quantizers()).withBackend(backend);
        RunConfig config =
                data.map(path -> saved.with("data.path", path.toString())).orElse(saved);
        return new CheckpointSampler(prepare(config), state, checkpoint).sample();
    }

    /**
     * {@return the language model of a checkpoint, owned by the caller}
     *
     * @param checkpoint of this version, verified, of a run of preset {@code text}
     * @param backend what computes: {@code auto}, or a name
     * @param threads host threads that compute; 0 for all
     * @param quantizer quantizer of the projections in the blocks; empty for what each layer had in the last step
     * @param tokenizer where the run's tokenizer.json is now; empty if it is where it was, or if there is none
     * @throws IllegalArgumentException if the checkpoint is one of another preset, or cannot be run here
     * @throws dev.nibble.error.FormatException if the checkpoint or the tokenizer does not fit the model
     * @throws dev.nibble.error.NibbleException if something is lacking
     */
    public TextGenerator generator(
            Checkpoint checkpoint,
            String backend,
            int threads,
            Optional<QuantizerChoice> quantizer,
            Optional<Path> tokenizer) {
        CheckpointState state = CheckpointState.read(checkpoint);
        String preset = state.configuration().preset();
        if (!(preset(preset) instanceof TextPreset)) {
            throw new IllegalArgumentException(
                    "checkpoint %s is one of preset %s, whose models write no text, but must be one of preset text"
                            .formatted(checkpoint.path(), preset));
        }
        SortedMap<String, String> quantizersThen = quantizer.isPresent() ? new TreeMap<>() : state.quantizers();
        RunConfig saved = state.configuration().config(quantizersThen);
        RunConfig config = tokenizer
                .or(() -> tokenizer(checkpoint))
                .map(path -> saved.with(TextPreset.TOKENIZER, path.toString()))
                .orElse(saved)
                .withBackend(backend)
                .withThreads(threads)
                .withQuantizer(quantizer.orElse(saved.quantizer()));
        RunResolution resolution = RunResolution.ofValues(config, preset(preset), quantizers, backends);
        return new TextGenerator(resolution, config, checkpoint, state);
    }

    /** {@return where a checkpoint says that its tokenizer is} */
    private static Optional<Path> tokenizer(Checkpoint checkpoint) {
        JsonFields json = checkpoint.json(CheckpointFile.STATE);
        return json.has("model") && json.object("model").has("tokenizer")
                ? Optional.of(Path.of(json.object("model").text("tokenizer")))
                : Optional.empty();
    }

    private RunResolution resolve(RunConfig config) {
        return RunResolution.of(config, preset(config.preset()), quantizers, backends);
    }
}
