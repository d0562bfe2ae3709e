package dev.nibble.cli;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.nibble.error.NibbleException;
import dev.nibble.error.NotAvailableException;
import dev.nibble.models.RunConfig;
import dev.nibble.models.Runs;
import dev.nibble.models.files.AtomicFile;
import dev.nibble.models.files.FolderLock;
import dev.nibble.models.files.IoReason;
import dev.nibble.models.files.Sha256;
import dev.nibble.spi.Names;
import dev.nibble.spi.Plugins;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDate;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.BooleanSupplier;
import java.util.stream.Collectors;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code nibble ladder}: several tasks, each with several methods, their negative controls and several seeds. */
@Command(
        name = "ladder",
        versionProvider = Nibble.Version.class,
        sortOptions = false,
        description = {
            "Runs the tasks of a YAML file, each with every method, its negative control and every seed, and makes the",
            "tables.",
            "",
            "A gap is the mean of the differences to the baseline with the same seed, with its 95 % interval (Student's t).",
            "A task counts as evidence for a method only where the method's control loses at least 3 standard deviations",
            "that the baseline has between seeds. Finished runs are kept in the folder, and skipped the next time if their",
            "configuration, version, commit and backend are the same: what is interrupted goes on."
        },
        footer = {
            "",
            "Example: four tasks on a GPU, four runs at once, for five minutes; then on from there",
            "  nibble ladder bench/ladders/gpu.yaml --backend cuda --jobs 4 --minutes 5 --out ladder",
            "  nibble ladder bench/ladders/gpu.yaml --backend cuda --jobs 4 --out ladder",
            "Example: only the tables of what is there",
            "  nibble ladder bench/ladders/gpu.yaml --backend cuda --tables --out ladder",
            "",
            "Results in --out: ladder.md and ladder.json (the tables), and runs/TASK/ROW-SEED.json.",
            "Ctrl-C ends the open runs after their step, writes the tables of what is finished, and exits with 130."
        })
final class LadderCommand implements Action {
    private static final String RECORD = "ladder.json";
    private static final String PAGE = "ladder.md";

    @Parameters(
            paramLabel = "FILE.yaml",
            description = "The ladder: tasks, rows and seeds; docs/ladders.md explains it.")
    Path file;

    @Option(names = "--tasks", paramLabel = "A,B", description = "Only these tasks (default: all).")
    Optional<String> tasks;

    @Option(names = "--seeds", paramLabel = "A,B,...", description = "Only these seeds (default: those of the file).")
    Optional<String> seeds;

    @Option(
            names = "--set",
            paramLabel = "TASK:PATH=VALUE",
            description = "Replaces a setting of a task, as in --set vit:data.path=/data/fashion-mnist. Repeatable.")
    List<String> settings = new ArrayList<>();

    @Option(names = "--backend", paramLabel = "NAME", description = "Backend that computes (default: cpu).")
    String backend = "cpu";

    @Option(
            names = "--jobs",
            paramLabel = "N",
            description = "Runs at once (default: 1). Never changes a number; on a processor, they share its cores.")
    int jobs = 1;

    @Option(
            names = "--minutes",
            paramLabel = "N",
            description = "Leave off after this time; runs that are open then are lost (default: never).")
    double minutes = Double.POSITIVE_INFINITY;

    @Option(names = "--tables", description = "Run nothing, and make the tables of the runs that are there.")
    boolean tables;

    @Option(
            names = "--text",
            paramLabel = "FILE.md",
            description = "Text of your own for the page, put before the tables as it is.")
    Optional<Path> text;

    @Option(names = "--commit", paramLabel = "ID", description = "Commit that was built, for the record.")
    String commit = "";

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
        long begin = System.nanoTime();
        Problems problems = new Problems();
        Runs runs = Runs.create();
        Ladder ladder = chosen(LadderReader.read(file), problems);
        problems.requirePositive("--jobs", jobs);
        if (!(minutes >= 0)) {
            problems.add("--minutes is " + minutes + ", but must be 0 or more");
        }
        problems.collect(this::words, "");
        check(runs, ladder, problems);
        Path folder = OutFolder.prepare(out.folder, "ladder", RECORD);
        LadderStore store = new LadderStore(folder);
        List<LadderRunner.Planned> plan = plan(runs, ladder);
        List<String> failures = List.of();
        if (!tables) {
            try (FolderLock _ = FolderLock.take(folder)) { // another process would repeat the runs of this one
                save(folder, ladder, store, plan, command); // the folder is known by this file from now on
                terminal.interruption().saveBeforeEnd();
                BooleanSupplier stop =
                        () -> terminal.interruption().requested() || (System.nanoTime() - begin) * 1e-9 >= 60 * minutes;
                List<LadderRunner.Planned> missing = plan.stream()
                        .filter(planned -> found(store, planned).isEmpty())
                        .toList();
                failures = new LadderRunner(runs, store, terminal, common.quiet, stop).run(missing, jobs);
            }
        }
        LadderPage page = save(folder, ladder, store, plan, command);
        return answer(
                folder, page, plan.size(), failures, terminal.interruption().requested());
    }

    /** {@return the text of the user's own, or none} */
    private String words() {
        try {
            return text.isPresent() ? Files.readString(text.orElseThrow()) : "";
        } catch (IOException e) {
            throw new IllegalArgumentException(
                    "--text is %s, but must be a file in UTF-8: %s".formatted(text.orElseThrow(), IoReason.of(e)), e);
        }
    }

    private Ladder chosen(Ladder ladder, Problems problems) {
        List<String> known = ladder.tasks().stream().map(Ladder.Task::name).toList();
        Set<String> wanted = tasks.<Set<String>>map(all -> new LinkedHashSet<>(List.of(all.split(",", -1))))
                .orElseGet(() -> new LinkedHashSet<>(known));
        wanted.stream()
                .filter(name -> !known.contains(name))
                .forEach(name -> problems.add("no task is named '" + name + "'; " + Names.suggest(name, known)));
        Set<Long> numbers = new LinkedHashSet<>();
        for (String text : seeds.map(all -> all.split(",", -1)).orElse(new String[0])) {
            problems.collect(() -> numbers.add(LadderReader.seed(text)), false);
        }
        List<Ladder.Task> replaced = new ArrayList<>(ladder.tasks());
        settings.forEach(setting -> replace(replaced, setting, known, problems));
        return new Ladder(
                ladder.title(),
                replaced.stream()
                        .filter(task -> wanted.contains(task.name()))
                        .map(task -> numbers.isEmpty() ? task : task.withSeeds(List.copyOf(numbers)))
                        .toList());
    }

    private static void replace(List<Ladder.Task> tasks, String setting, List<String> known, Problems problems) {
        int colon = setting.indexOf(':');
        int equals = setting.indexOf('=');
        if (colon < 1 || equals < colon + 2) {
            problems.add("--set is '" + setting + "', but must be TASK:PATH=VALUE, as in vit:data.path=images");
            return;
        }
        String name = setting.substring(0, colon);
        if (!known.contains(name)) {
            problems.add("--set names task '" + name + "', which there is not; " + Names.suggest(name, known));
        }
        tasks.replaceAll(task -> {
            String path = setting.substring(colon + 1, equals).strip();
            return task.name().equals(name)
                    ? task.with(path, setting.substring(equals + 1).strip())
                    : task;
        });
    }

    /** Everything is checked before anything starts; for tables alone, a backend and data need not be there. */
    private void check(Runs runs, Ladder ladder, Problems problems) {
        boolean known = Plugins.backends().names().contains(backend);
        if (!known) {
            problems.collect(() -> Plugins.backends().get(backend).name(), "");
        }
        Optional<NibbleException> lack = Optional.empty(); // told if nothing else is wrong
        for (Ladder.Task task : ladder.tasks()) {
            for (Ladder.Row row : task.rows()) {
                RunConfig config = task.config(row, 0, tables || !known ? "auto" : backend);
                try {
                    if (tables) {
                        runs.checkValues(config);
                    } else {
                        runs.check(config);
                    }
                } catch (IllegalArgumentException e) {
                    problems.add("task " + task.name() + ", row " + row.label() + ": " + e.getMessage());
                } catch (NotAvailableException e) {
                    lack = Optional.of(e);
                } catch (NibbleException e) {
                    lack = lack.or(() -> Optional.of(new NibbleException(
                            "task %s: %s; --set %s:PATH=VALUE names another place, --tasks leaves the task out"
                                    .formatted(task.name(), e.getMessage(), task.name()),
                            e)));
                }
            }
        }
        problems.throwIfAny();
        lack.ifPresent(e -> {
            throw e;
        });
    }

    /** {@return all runs, one seed after the other, so that whatever ends early has whole seeds} */
    private List<LadderRunner.Planned> plan(Runs runs, Ladder ladder) {
        int threads = jobs == 1 ? 0 : Math.max(1, Runtime.getRuntime().availableProcessors() / jobs);
        List<LadderRunner.Planned> plan = new ArrayList<>();
        Set<Long> all = new LinkedHashSet<>();
        ladder.tasks().forEach(task -> all.addAll(task.seeds()));
        for (long seed : all) {
            for (Ladder.Task task : ladder.tasks()) {
                for (Ladder.Row row : task.seeds().contains(seed) ? task.rows() : List.<Ladder.Row>of()) {
                    RunConfig config = task.config(row, seed, backend).withThreads(threads);
                    plan.add(new LadderRunner.Planned(task, row, config, key(runs.fingerprint(config))));
                }
            }
        }
        return plan;
    }

    private String key(String fingerprint) {
        String all = String.join("\n", fingerprint, Nibble.Version.number(), commit, backend);
        return Sha256.of(all.getBytes(StandardCharsets.UTF_8));
    }

    private static Optional<LadderRun> found(LadderStore store, LadderRunner.Planned planned) {
        return store.find(planned.task(), planned.row(), planned.config().seed(), planned.key());
    }

    private LadderPage save(
            Path folder, Ladder ladder, LadderStore store, List<LadderRunner.Planned> plan, List<String> command) {
        List<LadderRun> there =
                plan.stream().flatMap(planned -> found(store, planned).stream()).toList();
        SequencedMap<String, String> facts = new LinkedHashMap<>();
        facts.put("command", String.join(" ", command));
        facts.put("version", Nibble.Version.number() + (commit.isEmpty() ? "" : ", commit " + commit));
        facts.put("backend", backend);
        String machines = there.stream().map(LadderRun::machine).collect(Collectors.toCollection(TreeSet::new)).stream()
                .collect(Collectors.joining("; "));
        facts.put("machine", machines);
        facts.put("date", LocalDate.now(ZoneOffset.UTC).toString());
        double seconds = there.stream().mapToDouble(LadderRun::seconds).sum();
        facts.put("runs", "%d of %d, %s of training".formatted(there.size(), plan.size(), Figures.duration(seconds)));
        LadderPage page = new LadderPage(ladder, facts, words(), there);
        AtomicFile.write(folder.resolve(RECORD), Json.text(page.json()) + "\n");
        AtomicFile.write(folder.resolve(PAGE), page.markdown());
        return page;
    }

    private Answer answer(Path folder, LadderPage page, int planned, List<String> failures, boolean interrupted) {
        int there = page.runs().size();
        String problem = "";
        int status = Failure.DONE;
        if (!failures.isEmpty()) {
            status = Failure.FAILED;
            problem = "%d of %d runs failed: %s".formatted(failures.size(), planned, String.join("; ", failures));
        } else if (interrupted) {
            status = Failure.INTERRUPTED;
            problem = "interrupted; %d of %d runs are complete".formatted(there, planned);
        } else if (!tables && there < planned) {
            problem = "%d of %d runs are complete; the same command goes on".formatted(there, planned);
        }
        ObjectNode json = page.json();
        json.put("out", folder.toString());
        return new Answer(status, json, page.markdown() + "\nTables: " + folder.resolve(PAGE) + "\n", problem);
    }
}
