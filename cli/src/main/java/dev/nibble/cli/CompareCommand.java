package dev.nibble.cli;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.nibble.models.QuantizerChoice;
import dev.nibble.models.RunConfig;
import dev.nibble.models.Runs;
import dev.nibble.models.files.AtomicFile;
import dev.nibble.models.files.FolderLock;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Stream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code nibble compare}: the same model, data and seed under several quantizers. */
@Command(
        name = "compare",
        versionProvider = Nibble.Version.class,
        sortOptions = false,
        description = {
            "Trains the same model, data and seed under several quantizers: one table, one HTML report.",
            "",
            "The table tells what low-bit arithmetic costs (gap to fp32: validation loss minus that of fp32, in nats) and",
            "saves (saved activations: bytes kept for the backward pass). The report has the loss curves, and what each",
            "product of each layer really ran as."
        },
        footer = {
            "",
            "Example: is the fallback worth its time?",
            "  nibble compare --quantizers fp32,int8-block,int8-fallback --steps 200 --out fallback",
            "Example: how sure is the difference?",
            "  nibble compare --quantizers fp32,luq,int4 --seeds 1,2,3",
            "Example: images instead of text, from the files of Debian's package dataset-fashion-mnist",
            "  nibble compare images --data /usr/share/datasets/fashion-mnist --quantizers fp32,fp8,int8-block",
            "Example: the same quantizer with two options",
            "  nibble compare --quantizers fp32 --quantizer int8-block:block=64x64 --quantizer int8-block:block=128x128",
            "",
            "Results in --out: compare.json (the table), report.html, and a folder for each run with run.json (all about",
            "it) and metrics.csv (a line a step, to be read at any time).",
            "Ctrl-C ends the run after its step, writes the report of what there is, and exits with 130."
        })
final class CompareCommand implements Action {
    private static final String RECORD = "compare.json";
    private static final String DEFAULT_QUANTIZERS = "fp32,int4,luq,int8-fallback,fp8";

    @Option(
            names = "--quantizers",
            paramLabel = "A,B",
            description = "Names of quantizers, each with its default options (default: " + DEFAULT_QUANTIZERS
                    + "; with a recipe that names one: fp32 and that one).")
    Optional<String> names;

    @Option(
            names = "--quantizer",
            paramLabel = "NAME[:k=v,...]",
            description = "One more quantizer, with options: int8-block:block=64x64. Repeatable; see nibble list.")
    List<String> quantizers = new ArrayList<>();

    @Option(
            names = "--seeds",
            paramLabel = "A,B,...",
            description =
                    "Run each quantizer with each of these seeds, and tell means and deviations (instead of --seed).")
    Optional<String> seeds;

    @Mixin
    RunOptions options;

    @Mixin
    ErrorOption errors;

    @Mixin
    OutOption out;

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
        List<QuantizerChoice> choices = choices(chosen.quantizer(), problems);
        List<RunConfig> plan = plan(chosen.config(), choices, problems);
        errors.check(problems);
        RunOptions.check(runs, chosen, choices, problems);
        Path folder = OutFolder.prepare(out.folder, "compare", RECORD);
        try (FolderLock _ = FolderLock.take(folder)) {
            terminal.interruption().saveBeforeEnd();
            List<FinishedRun> finished = runAll(runs, terminal, command, folder, plan);
            return answer(folder, finished, plan.size(), terminal.outColumns());
        }
    }

    /** {@return all runs, one seed after the other, so that each can be compared with its own baseline early} */
    private List<RunConfig> plan(RunConfig config, List<QuantizerChoice> choices, Problems problems) {
        Set<Long> numbers = new LinkedHashSet<>();
        for (String text : seeds.map(all -> all.split(",", -1)).orElse(new String[0])) {
            problems.collect(() -> numbers.add(seed(text)), false);
        }
        if (seeds.isPresent() && options.seed.isPresent()) {
            problems.add("seeds are given by --seed and by --seeds; give one of them");
        }
        if (numbers.isEmpty()) {
            numbers.add(config.seed());
        }
        return numbers.stream()
                .flatMap(number ->
                        choices.stream().map(choice -> config.withSeed(number).withQuantizer(choice)))
                .toList();
    }

    private static long seed(String text) {
        try {
            return Long.parseLong(text.strip());
        } catch (NumberFormatException e) {
            throw new IllegalArgumentException("--seeds has '" + text + "', but needs whole numbers, as in 1,2,3", e);
        }
    }

    /** {@return what is compared: if nothing is named, the recipe's quantizer with fp32, or the usual ones} */
    private List<QuantizerChoice> choices(Optional<QuantizerChoice> ofRecipe, Problems problems) {
        if (names.isEmpty() && quantizers.isEmpty() && ofRecipe.isPresent()) {
            QuantizerChoice baseLine = QuantizerChoice.of(ResultTable.BASE_LINE);
            return Stream.of(baseLine, ofRecipe.orElseThrow()).distinct().toList();
        }
        List<String> texts = new ArrayList<>();
        String bare = names.orElse(quantizers.isEmpty() ? DEFAULT_QUANTIZERS : "");
        for (String name : bare.isEmpty() ? new String[0] : bare.split(",", -1)) {
            if (name.contains(":") || name.contains("=")) {
                problems.add("--quantizers takes bare names, but has '" + name
                        + "'; give a quantizer with options as --quantizer " + name.strip());
            } else {
                texts.add(name);
            }
        }
        texts.addAll(quantizers);
        Map<String, QuantizerChoice> choices = new LinkedHashMap<>();
        for (String text : texts) {
            Optional<QuantizerChoice> choice =
                    problems.collect(() -> Optional.of(QuantizerChoice.parse(text)), Optional.empty());
            choice.ifPresent(c -> {
                if (choices.putIfAbsent(c.label(), c) != null) {
                    problems.add("quantizer " + c.label() + " is given twice");
                }
            });
        }
        return List.copyOf(choices.values());
    }

    private List<FinishedRun> runAll(
            Runs runs, Terminal terminal, List<String> command, Path folder, List<RunConfig> plan) {
        RunSession session = new RunSession(runs, terminal, common, command, errors.every);
        List<FinishedRun> finished = new ArrayList<>();
        Set<String> taken = new TreeSet<>();
        save(folder, command, finished, plan.size());
        for (RunConfig config : plan) {
            if (terminal.interruption().requested()) {
                break;
            }
            String label =
                    QuantizerName.of(config.quantizer().label()) + (seeds.isPresent() ? " seed " + config.seed() : "");
            FinishedRun run = session.run(config, folder.resolve(folderName(label, taken)))
                    .named(label);
            finished.add(run);
            save(folder, command, finished, plan.size());
            if (!common.quiet) {
                terminal.err().println(ResultTable.line(run));
                terminal.err().flush();
            }
        }
        return finished;
    }

    /** After each run, so that whatever happens later, the finished ones can be looked at. */
    private static void save(Path folder, List<String> command, List<FinishedRun> finished, int planned) {
        ObjectNode json = json(folder, finished);
        json.put("tool", "nibble");
        json.put("version", Nibble.Version.number());
        json.put("planned", planned);
        json.set("command", Json.array(command));
        AtomicFile.write(folder.resolve(RECORD), Json.text(json) + "\n");
        if (!finished.isEmpty()) {
            AtomicFile.write(folder.resolve(Report.FILE), new Report("nibble compare", command, finished).html());
        }
    }

    /** {@return a name for the folder of a run that every file system takes} */
    private static String folderName(String label, Set<String> taken) {
        String plain = label.replaceAll("[^A-Za-z0-9._-]", "_");
        String name = plain;
        for (int i = 2; !taken.add(name); i++) {
            name = plain + "-" + i;
        }
        return name;
    }

    private static ObjectNode json(Path folder, List<FinishedRun> finished) {
        ObjectNode json = Json.object();
        ArrayNode array = json.putArray("runs");
        for (FinishedRun run : finished) {
            ObjectNode entry = run.summary();
            Json.put(entry, "gapToFp32", run.gapTo(ResultTable.baseLine(finished, run)));
            array.add(entry);
        }
        List<SeedSummary> summaries = SeedSummary.of(finished);
        if (!summaries.isEmpty()) {
            ArrayNode bySeeds = json.putArray("summaries");
            summaries.forEach(summary -> bySeeds.add(summary.json()));
        }
        json.put("out", folder.toString());
        json.put("report", folder.resolve(Report.FILE).toString());
        return json;
    }

    private static Answer answer(Path folder, List<FinishedRun> finished, int planned, int screen) {
        ObjectNode json = json(folder, finished);
        List<String> unfinished = finished.stream()
                .filter(run -> !run.completed())
                .map(run -> run.label() + " " + ResultTable.remark(run))
                .toList();
        boolean interrupted = finished.size() < planned || finished.stream().anyMatch(FinishedRun::interrupted);
        int status = Failure.DONE;
        String problem = "";
        if (interrupted) {
            status = Failure.INTERRUPTED;
            long whole = finished.stream().filter(FinishedRun::completed).count();
            problem = "interrupted; " + whole + " of " + planned + " runs are complete";
        } else if (!unfinished.isEmpty()) {
            status = Failure.FAILED;
            problem = unfinished.size() + " of " + planned + " runs failed: " + String.join("; ", unfinished);
        }
        if (status != Failure.DONE) {
            json.putObject("error")
                    .put("kind", interrupted ? "interrupted" : commonKind(finished))
                    .put("message", problem);
        }
        String summary =
                SeedSummary.text(finished, screen).map(all -> "\n" + all).orElse("");
        String text = ResultTable.text(finished, screen) + summary + "\nReport: " + folder.resolve(Report.FILE) + "\n";
        return new Answer(status, json, text, problem);
    }

    /** {@return the kind of failure that all failed runs share, or that they failed} */
    private static String commonKind(List<FinishedRun> finished) {
        List<String> kinds = finished.stream()
                .filter(run -> !run.completed())
                .map(run -> run.failure().kind())
                .distinct()
                .toList();
        return kinds.size() == 1 ? kinds.getFirst() : "failed";
    }
}
