package dev.nibble.models;

import dev.nibble.error.NibbleException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.TreeMap;
import java.util.function.Consumer;

/**
 * A configuration read from a YAML file, which remembers on which line each value stands. {@link Runs#readRecipe} reads
 * one.
 */
public final class Recipe {
    /** Ends of the names of files that are taken for recipes. */
    public static final List<String> SUFFIXES = List.of(".yaml", ".yml");

    static final String LAYERS = "layers";

    private final Path file;
    private final RunConfig config;
    private final SequencedMap<String, Integer> lines; // by key, by path, and by layers.PATTERN

    Recipe(Path file, RunConfig config, SequencedMap<String, Integer> lines) {
        this.file = file;
        this.config = config;
        this.lines = new LinkedHashMap<>(lines);
    }

    /** {@return what the file says; what it leaves out has its default, and the quantizer then is fp32} */
    public RunConfig config() {
        return config;
    }

    /** {@return the quantizer, if the file names one} */
    public Optional<QuantizerChoice> quantizer() {
        return lines.containsKey("quantizer") ? Optional.of(config.quantizer()) : Optional.empty();
    }

    /**
     * Says where problems come from: a line is to blame if the problem is gone without it.
     *
     * @param runs checks
     * @param actual this recipe's configuration, after whatever else has changed it
     * @param problems what {@link Runs#check} complains about in it
     * @return the problems, each with file and line if the file is to blame
     */
    public List<String> located(Runs runs, RunConfig actual, List<String> problems) {
        return located(runs::check, actual, problems, lines);
    }

    /**
     * {@return what is wrong with quantizers, layer patterns and the backend, each with file and line} The settings are left
     * aside: values that could not be read have their defaults, and what does not fit those is nobody's mistake.
     */
    List<String> problemsOfNames(Consumer<RunConfig> check) {
        SequencedMap<String, Integer> names = new LinkedHashMap<>(lines);
        names.keySet().removeAll(config.settings().keySet());
        List<String> problems = problems(check, config);
        List<String> located = located(check, config, problems, names);
        located.removeAll(problems);
        return located;
    }

    private List<String> located(
            Consumer<RunConfig> check, RunConfig actual, List<String> problems, Map<String, Integer> names) {
        Map<Integer, List<String>> without = new TreeMap<>(); // by line
        names.forEach((name, line) -> without.put(line, problems(check, without(actual, name))));
        List<String> located = new ArrayList<>();
        for (String problem : problems) {
            List<Integer> blamed = new ArrayList<>();
            without.forEach((line, left) -> {
                if (!left.contains(problem)) {
                    blamed.add(line);
                }
            });
            located.add(blamed.isEmpty() ? problem : at(file, blamed) + problem);
        }
        return located;
    }

    static String at(Path file, List<Integer> lines) {
        return file + ":" + String.join(",", lines.stream().map(String::valueOf).toList()) + ": ";
    }

    private static List<String> problems(Consumer<RunConfig> check, RunConfig config) {
        try {
            check.accept(config);
            return List.of();
        } catch (ConfigurationException e) {
            return e.problems();
        } catch (IllegalArgumentException e) {
            return List.of(String.valueOf(e.getMessage()));
        } catch (NibbleException _) {
            return List.of(); // told only if nothing else is wrong
        }
    }

    private static RunConfig without(RunConfig config, String name) {
        Map<String, String> settings = new TreeMap<>(config.settings());
        settings.remove(name);
        List<LayerOverride> overrides = config.overrides().stream()
                .filter(override -> !name.equals(LAYERS + "." + override.key()))
                .toList();
        return new RunConfig(
                config.preset(),
                name.equals("quantizer") ? QuantizerChoice.of("fp32") : config.quantizer(),
                overrides,
                name.equals("backend") ? "auto" : config.backend(),
                config.seed(),
                config.steps(),
                name.equals("threads") ? 0 : config.threads(),
                config.strict(),
                config.nonFinite(),
                settings);
    }
}
