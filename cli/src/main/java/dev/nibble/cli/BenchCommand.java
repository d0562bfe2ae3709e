package dev.nibble.cli;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.nibble.spi.Plugins;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code nibble bench}: how fast this machine is in each format. */
@Command(
        name = "bench",
        versionProvider = Nibble.Version.class,
        description = {
            "Times products, linear layers and whole training steps against FP32 on this machine.",
            "Candidate and base line run in turn; a ratio is the median of those of the pairs, above 1 where the candidate"
                    + " is faster."
        },
        footer = {"", "Examples:", "  nibble bench", "  nibble bench --only products --size 1024 --backend cpu-portable"
        })
final class BenchCommand implements Action {
    private static final int LARGEST_SIZE = 8192;

    @Mixin
    CommonOptions common;

    @Option(
            names = "--backend",
            paramLabel = "NAME",
            defaultValue = "cpu",
            description = "Backend that is timed (default: ${DEFAULT-VALUE}).")
    String backend;

    @Option(
            names = "--baseline",
            paramLabel = "NAME",
            defaultValue = "auto",
            description =
                    "Backend whose FP32 products are the base line: auto for oneDNN if it is on the path, else the"
                            + " backend that is timed.")
    String baseline;

    @Option(
            names = "--only",
            paramLabel = "PART",
            split = ",",
            description = "Times these alone: products, layers, steps (default: all).")
    List<String> only = new ArrayList<>();

    @Option(
            names = "--size",
            paramLabel = "N",
            split = ",",
            defaultValue = "1024,2048",
            description = "Rows and columns of products and layers (default: ${DEFAULT-VALUE}).")
    List<Integer> sizes = new ArrayList<>();

    @Option(
            names = "--threads",
            paramLabel = "N",
            defaultValue = "1",
            description = "Threads of candidate and base line (default: ${DEFAULT-VALUE}).")
    int threads;

    @Option(
            names = "--pairs",
            paramLabel = "N",
            defaultValue = "7",
            description = "Pairs of measurements (default: ${DEFAULT-VALUE}).")
    int pairs;

    @Option(
            names = "--warm-up",
            paramLabel = "MS",
            defaultValue = "1500",
            description = "Milliseconds that each side runs before it is measured (default: ${DEFAULT-VALUE}).")
    int warmUp;

    @Override
    public CommonOptions common() {
        return common;
    }

    @Override
    public Answer run(Terminal terminal, List<String> command) {
        check();
        String known = baseline.equals("auto") ? ownBaseline() : baseline;
        BenchTable table =
                new BenchTable(backend, known, threads, new BenchPair.Effort(pairs, warmUp * 1_000_000L), row -> {
                    if (!common.quiet) {
                        terminal.err()
                                .println(row.operation() + ", " + row.format() + ", " + row.shape() + ": "
                                        + Figures.fixed(row.pair().ratio(), 2));
                    }
                });
        if (wanted("products")) {
            sizes.forEach(table::products);
            table.scaling(sizes.getLast());
        }
        if (wanted("layers")) {
            sizes.forEach(table::layers);
        }
        if (wanted("steps")) {
            table.steps();
        }
        ObjectNode json = Json.object();
        json.set("machine", Json.object(new java.util.LinkedHashMap<>(Machine.facts())));
        json.put("backend", table.description());
        ArrayNode rows = json.putArray("rows");
        table.rows().forEach(row -> rows.add(row.json()));
        return Answer.done(json, table.text());
    }

    private boolean wanted(String part) {
        return only.isEmpty() || only.contains(part);
    }

    private static String ownBaseline() {
        return Plugins.backends().names().contains("onednn")
                        && Plugins.backends().get("onednn").availability().available()
                ? "onednn"
                : "";
    }

    private void check() {
        Problems problems = new Problems();
        for (String part : only) {
            if (!List.of("products", "layers", "steps").contains(part)) {
                problems.add(
                        "--only is '" + part.toLowerCase(Locale.ROOT) + "', but must be products, layers or steps");
            }
        }
        if (sizes.isEmpty() || sizes.stream().anyMatch(size -> size < 1 || size > LARGEST_SIZE)) {
            problems.add("--size is " + sizes + ", but must be in 1.." + LARGEST_SIZE);
        }
        if (threads < 1) {
            problems.add("--threads is " + threads + ", but must be 1 or more");
        }
        if (pairs < 1) {
            problems.add("--pairs is " + pairs + ", but must be 1 or more");
        }
        if (warmUp < 0) {
            problems.add("--warm-up is " + warmUp + ", but must be 0 or more");
        }
        for (String name : List.of(backend, baseline)) {
            problems.requireBackend(name);
        }
        problems.throwIfAny();
    }
}
