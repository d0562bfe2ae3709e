package dev.nibble.cli;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.nibble.error.NibbleException;
import dev.nibble.models.QuantizerChoice;
import dev.nibble.models.RunConfig;
import dev.nibble.models.RunFolder;
import dev.nibble.models.Runs;
import dev.nibble.models.Setting;
import dev.nibble.models.Start;
import dev.nibble.models.files.AtomicFile;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code nibble train}: one run. */
@Command(
        name = "train",
        versionProvider = Nibble.Version.class,
        sortOptions = false,
        description = "Trains one model under one quantizer; writes run.json, metrics.csv, recipe.yaml, report.html,"
                + " checkpoints.",
        footer = {
            "",
            "Example: INT8 blocks with fallback, but FP8 for the second half of each feed-forward layer",
            "  nibble train --quantizer int8-fallback --set 'layers.blocks.*.mlp.down=fp8' --out my-run",
            "Example: a text of your own, and a smaller model",
            "  nibble train --data book.txt --set model.layers=2 --steps 500",
            "Example: a small vision transformer on the files of Debian's package dataset-fashion-mnist",
            "  nibble train images --data /usr/share/datasets/fashion-mnist --quantizer int8-block",
            "Example: everything in a file, written with its defaults and comments, and then changed",
            "  nibble recipe text > my.yaml",
            "  nibble train my.yaml --set train.steps=500",
            "Example: a checkpoint every 50 steps; the same line continues the run after whatever ended it",
            "  nibble train --steps 500 --set train.checkpointEvery=50 --out my-run --resume",
            "",
            "Results in --out: run.json (all about the run), metrics.csv (a line a step, to be read at any time),",
            "recipe.yaml (every value of the run: nibble train recipe.yaml repeats it to the same bits), report.html"
                    + " (loss",
            "curve, what each product of each layer really ran as) and checkpoints: the newest ones and the best."
                    + " --resume continues the newest one to the same bits as a run without a break; settings, data and",
            "seed must be those of the run, --steps may grow. nibble export makes a plain model of a checkpoint.",
            "Without --resume the checkpoints of an earlier run in the folder are kept in checkpoints.old.",
            "The first line tells what memory the run needs; run.json and report.html have it by kind, predicted and"
                    + " measured.",
            "One process at a time trains into a folder; a second one is refused.",
            "Ctrl-C ends the run after its step, saves a checkpoint and all else there is, and exits with 130."
        })
final class TrainCommand implements Action {
    /** What trains if nothing else is asked for. */
    static final String DEFAULT_QUANTIZER = "int8-fallback";

    @Option(
            names = "--quantizer",
            paramLabel = "NAME[:k=v,...]",
            description = "Quantizer of the projections, and its options (default: " + DEFAULT_QUANTIZER
                    + ", or the recipe's); see nibble list.")
    Optional<String> quantizer;

    @Mixin
    RunOptions options;

    @Mixin
    ErrorOption errors;

    @Mixin
    OutOption out;

    @Option(
            names = "--resume",
            description = "Continue the newest checkpoint in --out; if there is none, start, and say so.")
    boolean resume;

    @Option(
            names = "--other-quantizer",
            description =
                    "With --resume: layers may have another quantizer than in the checkpoint. Weights, optimizer and"
                            + " place in the data go on; the state of quantizers that are replaced is dropped.")
    boolean otherQuantizer;

    @Mixin
    CommonOptions common;

    @Override
    public CommonOptions common() {
        return common;
    }

    @Override
    public Answer run(Terminal terminal, List<String> command) {
        Problems problems = new Problems();
        Runs runs = Runs.create();
        RunOptions.Chosen chosen = options.chosen(runs, problems);
        QuantizerChoice choice = choice(quantizer, chosen, problems);
        Start start = start(problems);
        errors.check(problems);
        RunOptions.check(runs, chosen, List.of(choice), problems);
        Path folder = OutFolder.prepare(out.folder, "train", RunFolder.RECORD);
        terminal.interruption().saveBeforeEnd();
        FinishedRun run = new RunSession(runs, terminal, common, command, errors.every)
                .run(chosen.config().withQuantizer(choice), folder, start);
        Path report = folder.resolve(Report.FILE);
        try {
            AtomicFile.write(report, new Report("nibble train", command, List.of(run)).html());
        } catch (NibbleException e) { // what ended the run ends this, too: it comes first
            throw run.completed() ? e : new NibbleException(ResultTable.remark(run) + "; " + e.getMessage(), e);
        }
        return answer(run, folder, terminal.outColumns());
    }

    /** {@return the quantizer that is asked for: by the option, by the recipe, or by nobody} */
    static QuantizerChoice choice(Optional<String> option, RunOptions.Chosen chosen, Problems problems) {
        return option.map(text ->
                        problems.collect(() -> QuantizerChoice.parse(text), QuantizerChoice.of(ResultTable.BASE_LINE)))
                .or(chosen::quantizer)
                .orElse(QuantizerChoice.of(DEFAULT_QUANTIZER));
    }

    private Start start(Problems problems) {
        if (resume && out.folder.isEmpty()) {
            problems.add("--resume needs --out DIR, the folder of the run that is to go on");
        }
        if (otherQuantizer && !resume) {
            problems.add("--other-quantizer needs --resume: a new run has no quantizer yet");
        }
        if (!resume) {
            return Start.NEW;
        }
        return otherQuantizer ? Start.RESUME_UNDER_ANOTHER_QUANTIZER : Start.RESUME;
    }

    private static Answer answer(FinishedRun run, Path folder, int screen) {
        ObjectNode json = run.summary();
        int status = Failure.DONE;
        String problem = "";
        if (!run.completed()) {
            status = run.failure().status();
            problem = ResultTable.remark(run);
            json.putObject("error").put("kind", run.failure().kind()).put("message", problem);
        }
        String text = ResultTable.text(List.of(run), screen) + "\nResults: " + folder + "\n";
        return new Answer(status, json, text, problem);
    }

    /** {@return the settings and layer names of each preset, for the help} */
    @Override
    public String moreHelp() {
        Runs runs = Runs.create();
        StringBuilder text = new StringBuilder();
        for (String name : runs.presets()) {
            text.append("%nPreset %s: %s%n".formatted(name, runs.preset(name).description()));
            TextTable table = new TextTable().allLeft();
            for (Setting setting : runs.preset(name).settings()) {
                String value = setting.defaultValue().isEmpty() ? "(empty)" : setting.defaultValue();
                table.row("  " + setting.path(), value, setting.help());
            }
            text.append("Settings for --set, with their defaults:\n").append(table.text());
            text.append("Layers for --set layers.PATTERN=QUANTIZER (N is a block's number; * in a pattern is any"
                    + " text):\n"
                    + "  ");
            text.append(String.join(", ", layerPatterns(runs.layerNames(RunConfig.of(name)))))
                    .append('\n');
        }
        return text.toString();
    }

    /** {@return layer names with block numbers as N, each once} */
    private static List<String> layerPatterns(List<String> names) {
        Set<String> patterns = new LinkedHashSet<>();
        names.forEach(name -> patterns.add(name.replaceAll("\\.\\d+\\.", ".N.")));
        return new ArrayList<>(patterns);
    }
}
