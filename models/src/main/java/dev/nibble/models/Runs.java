package dev.nibble.models;

import com.google.inject.Guice;
import dev.nibble.spi.Names;
import jakarta.inject.Inject;
import java.util.List;
import java.util.Map;
import java.util.Optional;
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

    private RunResolution resolve(RunConfig config) {
        return RunResolution.of(config, preset(config.preset()), quantizers, backends);
    }
}
