package dev.nibble.cli;

import dev.nibble.error.NotAvailableException;
import dev.nibble.models.NonFinitePolicy;
import dev.nibble.models.QuantizerChoice;
import dev.nibble.models.RunConfig;
import dev.nibble.models.Runs;
import dev.nibble.spi.Names;
import dev.nibble.spi.Plugins;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** What is trained, the same for one run and for a comparison. */
final class RunOptions {
    private static final String PRESET = "text";
    private static final String DATA = "data.path";

    @Parameters(
            arity = "0..1",
            paramLabel = "PRESET",
            defaultValue = PRESET,
            description = "Which model, data and schedule (default: ${DEFAULT-VALUE}); nibble train --help lists them.")
    String preset;

    @Option(
            names = "--data",
            paramLabel = "PATH",
            description =
                    "Data of the preset, as --set data.path: for images a folder with IDX files, for text a file.")
    Optional<Path> data;

    @Option(
            names = "--backend",
            paramLabel = "NAME",
            defaultValue = "auto",
            description = "Backend that computes: auto, or a name from nibble list (default: ${DEFAULT-VALUE}).")
    String backend;

    @Option(
            names = "--seed",
            paramLabel = "N",
            defaultValue = "0",
            description = "Seed of initial weights, data order and rounding (default: ${DEFAULT-VALUE}).")
    long seed;

    @Option(
            names = "--steps",
            paramLabel = "N",
            description = "Optimizer steps of a run, which the learning rate follows (default: the preset's).")
    Optional<Integer> steps;

    @Option(
            names = "--out",
            paramLabel = "DIR",
            description =
                    "Folder for the results: new, empty, or filled by this command before, whose files are replaced"
                            + " (default: a new one in ./nibble-out).")
    Optional<Path> out;

    @Option(
            names = "--set",
            paramLabel = "PATH=VALUE",
            description =
                    "Replaces a setting of the preset, as in --set model.layers=2; or the quantizer of the layers that"
                            + " a pattern matches, as in --set 'layers.blocks.*.mlp.down=fp8': the last match wins. Repeatable;"
                            + " nibble train --help lists settings and layers.")
    List<String> settings = new ArrayList<>();

    @Option(
            names = "--strict",
            description = "Fail, and not only report it, if a product does not run in the formats asked for.")
    boolean strict;

    @Option(
            names = "--nonfinite",
            paramLabel = "POLICY",
            defaultValue = "stop",
            description = "When NaN or infinity turns up: stop the run, or skip the step (default: ${DEFAULT-VALUE}).")
    String nonFinite;

    @Option(
            names = "--threads",
            paramLabel = "N",
            defaultValue = "0",
            description =
                    "Processor threads that compute; 0 for all. Never changes a number (default: ${DEFAULT-VALUE}).")
    int threads;

    /** {@return the configuration without its quantizer} Notes what cannot be read. */
    RunConfig config(Runs runs, Problems problems) {
        int wanted = steps.orElse(0);
        if (steps.isPresent() && wanted < 1) {
            problems.add("--steps is " + wanted + ", but must be at least 1");
        }
        if (threads < 0) {
            problems.add("--threads is " + threads + ", but must be 0 (all) or more");
        }
        boolean presetKnown = isPreset(runs, problems);
        boolean backendKnown = backend.equals("auto")
                || problems.collect(() -> Plugins.backends().get(backend).name().equals(backend), false);
        NonFinitePolicy policy = problems.collect(() -> parsePolicy(nonFinite), NonFinitePolicy.STOP);
        // what is unknown is replaced, so that the rest can be checked in the same go
        RunConfig config = new RunConfig(
                presetKnown ? preset : PRESET,
                QuantizerChoice.of("fp32"),
                List.of(),
                backendKnown ? backend : "auto",
                seed,
                Math.max(0, wanted),
                Math.max(0, threads),
                strict,
                policy,
                Map.of());
        RunConfig complete =
                data.map(path -> config.with(DATA, path.toString())).orElse(config);
        if (data.isPresent() && settings.stream().anyMatch(s -> s.strip().startsWith(DATA + "="))) {
            problems.add("the data is named by --data and by --set " + DATA + "; give one of them");
        }
        for (String setting : settings) {
            complete = with(complete, setting, problems);
        }
        return presetKnown ? complete : config; // another preset would know other settings
    }

    private boolean isPreset(Runs runs, Problems problems) {
        if (isRecipe(preset)) {
            problems.add(preset + " is a recipe file, which is not in this version; name a preset and use --set");
            return false;
        }
        return problems.collect(() -> runs.preset(preset).name().equals(preset), false);
    }

    private static boolean isRecipe(String name) {
        String lower = name.toLowerCase(Locale.ROOT);
        return lower.endsWith(".yaml") || lower.endsWith(".yml");
    }

    private static NonFinitePolicy parsePolicy(String text) {
        List<String> known = Arrays.stream(NonFinitePolicy.values())
                .map(p -> p.name().toLowerCase(Locale.ROOT))
                .toList();
        if (!known.contains(text)) {
            throw new IllegalArgumentException("--nonfinite is '" + text + "'; " + Names.suggest(text, known));
        }
        return NonFinitePolicy.valueOf(text.toUpperCase(Locale.ROOT));
    }

    private static RunConfig with(RunConfig config, String setting, Problems problems) {
        int equals = setting.indexOf('=');
        if (equals < 1) {
            problems.add("--set is '" + setting + "', but must be PATH=VALUE, as in model.layers=2");
            return config;
        }
        return problems.collect(
                () -> config.with(
                        setting.substring(0, equals).strip(),
                        setting.substring(equals + 1).strip()),
                config);
    }

    /**
     * Checks one configuration with each quantizer. A problem that several have is told once.
     *
     * @throws IllegalArgumentException naming all problems
     * @throws NotAvailableException if a named backend is not available, and nothing else is wrong
     */
    static void check(Runs runs, RunConfig config, List<QuantizerChoice> choices, Problems problems) {
        Optional<NotAvailableException> notAvailable = Optional.empty();
        for (QuantizerChoice choice : choices) {
            try {
                runs.check(config.withQuantizer(choice));
            } catch (IllegalArgumentException e) {
                problems.addAll(e.getMessage());
            } catch (NotAvailableException e) {
                notAvailable = Optional.of(e);
            }
        }
        problems.throwIfAny();
        notAvailable.ifPresent(e -> {
            throw e;
        });
    }
}
