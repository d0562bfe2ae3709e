package dev.nibble.models;

import dev.nibble.spi.BackendOptions;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;

/**
 * Everything that decides a training run. Names and values are checked by {@link Runs#train}, all at once.
 *
 * @param preset name of a preset: {@code text}, {@code images}
 * @param quantizer quantizer of the projections in the blocks
 * @param overrides other quantizers for some layers, from the start or later; the last match wins
 * @param backend name of a backend, or {@code auto}
 * @param seed seed of initial weights, data order and rounding
 * @param steps optimizer steps of the run; 0 for the preset's default
 * @param threads host threads that compute; 0 for all processors; never changes a number
 * @param strict whether a product that does not run as asked for is an error
 * @param nonFinite what happens when NaN or infinity turns up
 * @param settings path to value, as in {@code model.layers} to {@code 2}; paths that are missing have the preset's
 *     defaults
 */
public record RunConfig(
        String preset,
        QuantizerChoice quantizer,
        List<LayerOverride> overrides,
        String backend,
        long seed,
        int steps,
        int threads,
        boolean strict,
        NonFinitePolicy nonFinite,
        Map<String, String> settings) {
    private static final String LAYERS = "layers.";

    /** Copies the collections. */
    public RunConfig {
        overrides = List.copyOf(overrides);
        settings = Map.copyOf(settings);
    }

    /** {@return the preset as it is, in fp32, on the best backend, with seed 0} */
    public static RunConfig of(String preset) {
        return new RunConfig(
                preset, QuantizerChoice.of("fp32"), List.of(), "auto", 0, 0, 0, false, NonFinitePolicy.STOP, Map.of());
    }

    /** {@return this configuration with another quantizer} */
    public RunConfig withQuantizer(QuantizerChoice value) {
        return new RunConfig(preset, value, overrides, backend, seed, steps, threads, strict, nonFinite, settings);
    }

    /** {@return this configuration on another backend} */
    public RunConfig withBackend(String value) {
        return new RunConfig(preset, quantizer, overrides, value, seed, steps, threads, strict, nonFinite, settings);
    }

    /** {@return this configuration with another seed} */
    public RunConfig withSeed(long value) {
        return new RunConfig(preset, quantizer, overrides, backend, value, steps, threads, strict, nonFinite, settings);
    }

    /** {@return this configuration with another number of steps; 0 for the preset's default} */
    public RunConfig withSteps(int value) {
        return new RunConfig(preset, quantizer, overrides, backend, seed, value, threads, strict, nonFinite, settings);
    }

    /** {@return this configuration with another number of threads; 0 for all processors} */
    public RunConfig withThreads(int value) {
        return new RunConfig(preset, quantizer, overrides, backend, seed, steps, value, strict, nonFinite, settings);
    }

    /** {@return this configuration, strict or not} */
    public RunConfig withStrict(boolean value) {
        return new RunConfig(preset, quantizer, overrides, backend, seed, steps, threads, value, nonFinite, settings);
    }

    /** {@return this configuration with another policy for NaN and infinity} */
    public RunConfig withNonFinite(NonFinitePolicy value) {
        return new RunConfig(preset, quantizer, overrides, backend, seed, steps, threads, strict, value, settings);
    }

    /**
     * {@return this configuration with one more setting, as {@code --set} gives it}
     *
     * @param path a setting of the preset, or {@code layers.PATTERN[@MOMENT]} for a {@link LayerOverride}
     * @param value its value; for a layer pattern, a quantizer as {@link QuantizerChoice#parse} reads it
     * @throws IllegalArgumentException if the quantizer or the moment of a layer pattern cannot be read
     */
    public RunConfig with(String path, String value) {
        List<LayerOverride> moreOverrides = new ArrayList<>(overrides);
        Map<String, String> moreSettings = new TreeMap<>(settings);
        if (path.startsWith(LAYERS)) {
            moreOverrides.add(LayerOverride.parse(path.substring(LAYERS.length()), QuantizerChoice.parse(value)));
        } else {
            moreSettings.put(path, value);
        }
        return new RunConfig(
                preset, quantizer, moreOverrides, backend, seed, steps, threads, strict, nonFinite, moreSettings);
    }

    /** {@return names and values for people, sorted by name; a number that the preset decides is a word} */
    public SortedMap<String, String> facts() {
        SortedMap<String, String> facts = new TreeMap<>();
        facts.put("preset", preset);
        facts.put("quantizer", quantizer.label());
        facts.put("backend", backend);
        facts.put("seed", String.valueOf(seed));
        facts.put("steps", steps == 0 ? "preset's" : String.valueOf(steps));
        facts.put("threads", threads == 0 ? "all" : String.valueOf(threads));
        facts.put("strict", String.valueOf(strict));
        facts.put("nonfinite", nonFinite.name().toLowerCase(Locale.ROOT));
        settings.forEach((path, value) -> facts.put("set " + path, value));
        int place = 1; // the order counts: the last match wins
        for (LayerOverride override : overrides) {
            facts.put(
                    "layers " + place + ": " + override.key(), override.choice().label());
            place++;
        }
        return facts;
    }

    /** {@return what the run asks of its backend} */
    BackendOptions backendOptions() {
        return new BackendOptions(seed, threads, strict, AttentionSetting.ofBackend(settings));
    }
}
