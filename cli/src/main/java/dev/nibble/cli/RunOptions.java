package dev.nibble.cli;

import dev.nibble.error.NotAvailableException;
import dev.nibble.models.ConfigurationException;
import dev.nibble.models.NonFinitePolicy;
import dev.nibble.models.QuantizerChoice;
import dev.nibble.models.Recipe;
import dev.nibble.models.RunConfig;
import dev.nibble.models.Runs;
import dev.nibble.spi.Plugins;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.function.Consumer;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** What is trained, the same for one run and for a comparison. */
final class RunOptions {
    private static final String PRESET = "text";
    private static final String DATA = "data.path";

    @Parameters(
            arity = "0..1",
            paramLabel = "PRESET|FILE.yaml",
            defaultValue = PRESET,
            description =
                    "Which model, data and schedule (default: ${DEFAULT-VALUE}; nibble train --help lists them); or a recipe,"
                            + " as nibble recipe writes it, in a file that ends in .yaml or .yml. Options replace what it says.")
    String preset;

    @Option(
            names = "--data",
            paramLabel = "PATH",
            description = "Data of the preset, as --set data.path: for images a folder with IDX files, for text a"
                    + " folder or a file, for classify a .csv, .tsv or .jsonl, for tag a .conll or .jsonl.")
    Optional<Path> data;

    @Option(
            names = "--backend",
            paramLabel = "NAME",
            description = "Backend that computes: auto, or a name from nibble list (default: auto).")
    Optional<String> backend;

    @Option(
            names = "--seed",
            paramLabel = "N",
            description = "Seed of initial weights, data order and rounding (default: 0).")
    Optional<Long> seed;

    @Option(
            names = "--steps",
            paramLabel = "N",
            description = "Optimizer steps of a run, which the learning rate follows (default: the preset's).")
    Optional<Integer> steps;

    @Option(
            names = "--set",
            paramLabel = "PATH=VALUE",
            description =
                    "Replaces a setting of the preset, as in --set model.layers=2; or the quantizer of the layers that"
                            + " a pattern matches, as in --set 'layers.blocks.*.mlp.down=fp8': the last match wins; from step 400 on with"
                            + " --set 'layers.blocks.*@400=bf16'. Repeatable;"
                            + " nibble train --help lists settings and layers.")
    List<String> settings = new ArrayList<>();

    @Option(
            names = "--tensorboard",
            description = "Write a TensorBoard event file into each run's folder: tensorboard --logdir DIR shows them.")
    boolean tensorboard;

    @Option(
            names = "--strict",
            description = "Fail, and not only report it, if a product does not run in the formats asked for.")
    boolean strict;

    @Option(
            names = "--nonfinite",
            paramLabel = "POLICY",
            description =
                    "When NaN or infinity turns up: stop the run, skip the step, backoff (skip it, and let the layer go on under"
                            + " a safer quantizer) or rollback (to a checkpoint from before) (default: stop); docs/guard.md.")
    Optional<String> nonFinite;

    @Option(
            names = "--threads",
            paramLabel = "N",
            description = "Processor threads that compute; 0 for all. Never changes a number (default: 0).")
    Optional<Integer> threads;

    /**
     * What is to be trained, and from where.
     *
     * @param config the configuration; its quantizer counts only if {@code quantizer} is there
     * @param recipe the file that it comes from, if there is one
     * @param quantizer the quantizer that the recipe names
     */
    record Chosen(RunConfig config, Optional<Recipe> recipe, Optional<QuantizerChoice> quantizer) {}

    /** {@return the configuration of the preset or recipe, with what the options replace} Notes what cannot be read. */
    Chosen chosen(Runs runs, Problems problems) {
        Optional<Recipe> recipe = recipe(runs, problems);
        boolean known = recipe.isPresent()
                || (!isRecipe(preset)
                        && problems.collect(() -> runs.preset(preset).name().equals(preset), false));
        // what is unknown is replaced, so that the rest can be checked in the same go
        RunConfig start = recipe.map(Recipe::config).orElseGet(() -> RunConfig.of(known ? preset : PRESET));
        RunConfig options = withOptions(start, problems);
        RunConfig config = tensorboard ? options.with("train.tensorboard", "true") : options;
        RunConfig complete =
                data.map(path -> config.with(DATA, path.toString())).orElse(config);
        if (data.isPresent() && settings.stream().anyMatch(s -> s.strip().startsWith(DATA + "="))) {
            problems.add("the data is named by --data and by --set " + DATA + "; give one of them");
        }
        for (String setting : settings) {
            complete = with(complete, setting, problems);
        }
        // another preset would know other settings
        return new Chosen(known ? complete : config, recipe, recipe.flatMap(Recipe::quantizer));
    }

    private RunConfig withOptions(RunConfig start, Problems problems) {
        RunConfig config = start.withStrict(strict || start.strict());
        if (steps.isPresent()) {
            int wanted = steps.orElseThrow();
            problems.requirePositive("--steps", wanted);
            config = config.withSteps(Math.max(0, wanted));
        }
        if (threads.isPresent()) {
            int wanted = threads.orElseThrow();
            problems.requireThreads(wanted);
            config = config.withThreads(Math.max(0, wanted));
        }
        if (seed.isPresent()) {
            config = config.withSeed(seed.orElseThrow());
        }
        if (nonFinite.isPresent()) {
            config = config.withNonFinite(problems.collect(
                    () -> NonFinitePolicy.parse("--nonfinite", nonFinite.orElseThrow()), NonFinitePolicy.STOP));
        }
        if (backend.isPresent()) {
            String name = backend.orElseThrow();
            boolean known = name.equals("auto")
                    || problems.collect(
                            () -> Plugins.backends().get(name).name().equals(name), false);
            config = config.withBackend(known ? name : "auto");
        }
        return config;
    }

    private Optional<Recipe> recipe(Runs runs, Problems problems) {
        if (!isRecipe(preset)) {
            return Optional.empty();
        }
        try {
            return Optional.of(runs.readRecipe(Path.of(preset)));
        } catch (ConfigurationException e) {
            e.problems().forEach(problems::add);
        } catch (InvalidPathException e) {
            problems.add("'" + preset + "' is no name of a file");
        }
        return Optional.empty();
    }

    /** {@return whether the argument names a recipe, and not a preset} */
    static boolean isRecipe(String name) {
        String lower = name.toLowerCase(Locale.ROOT);
        return Recipe.SUFFIXES.stream().anyMatch(lower::endsWith);
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
     * Checks one configuration with each quantizer. A problem that several have is told once, and one that comes from a
     * recipe with its line.
     *
     * @throws IllegalArgumentException naming all problems
     * @throws NotAvailableException if a named backend is not available, and nothing else is wrong
     */
    static void check(Runs runs, Chosen chosen, List<QuantizerChoice> choices, Problems problems) {
        check(runs, chosen, choices, problems, runs::check);
    }

    /** Does the same, with a check of the caller's. */
    static void check(
            Runs runs, Chosen chosen, List<QuantizerChoice> choices, Problems problems, Consumer<RunConfig> checked) {
        Optional<NotAvailableException> notAvailable = Optional.empty();
        for (QuantizerChoice choice : choices) {
            RunConfig config = chosen.config().withQuantizer(choice);
            try {
                checked.accept(config);
            } catch (ConfigurationException e) {
                chosen.recipe()
                        .map(recipe -> recipe.located(runs, config, e.problems()))
                        .orElse(e.problems())
                        .forEach(problems::add);
            } catch (IllegalArgumentException e) {
                problems.add(e.getMessage());
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
