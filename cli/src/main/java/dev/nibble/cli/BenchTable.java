package dev.nibble.cli;

import dev.nibble.spi.Backend;
import dev.nibble.spi.BackendOptions;
import dev.nibble.spi.Plugins;
import java.util.ArrayList;
import java.util.List;
import java.util.Map.Entry;
import java.util.function.Consumer;

/** The rows that were measured. */
final class BenchTable {
    private final String backendName;
    private final String baselineName; // empty for the backend's own FP32
    private final int threads;
    private final BenchPair.Effort effort;
    private final BenchPair.Clock clock;
    private final Consumer<BenchRow> progress;
    private final List<BenchRow> rows = new ArrayList<>();
    private final String description;

    BenchTable(String backend, String baseline, int threads, BenchPair.Effort effort, Consumer<BenchRow> progress) {
        this.backendName = backend;
        this.baselineName = baseline;
        this.threads = threads;
        this.effort = effort;
        this.clock = BenchPair.Clock.of(threads);
        this.progress = progress;
        try (Backend opened = open(backend, threads)) {
            description = opened.description();
        }
    }

    private static Backend open(String name, int threads) {
        return Plugins.openBackend(name, new BackendOptions(0, threads, false));
    }

    private void add(BenchRow row) {
        rows.add(row);
        progress.accept(row);
    }

    /** {@return the backend, in words} */
    String description() {
        return description;
    }

    List<BenchRow> rows() {
        return List.copyOf(rows);
    }

    /** Times products of a size in each format. */
    void products(int size) {
        for (BenchProduct.Format format : BenchProduct.Format.values()) {
            if (format != BenchProduct.Format.FP32 || !baselineName.isEmpty()) {
                product(format, size);
            }
        }
    }

    private void product(BenchProduct.Format format, int size) {
        String name = baselineName.isEmpty() ? backendName : baselineName;
        try (Backend backend = open(backendName, threads);
                Backend other = open(name, threads);
                BenchProduct candidate = new BenchProduct(backend, format, size);
                BenchProduct baseline = new BenchProduct(other, BenchProduct.Format.FP32, size)) {
            BenchPair pair = BenchPair.of(clock, candidate, baseline, effort);
            double rate = 2.0 * size * size * size / pair.medianNanos();
            add(new BenchRow(
                    "product",
                    format.label(),
                    size + "x" + size + "x" + size,
                    threads,
                    pair,
                    name + " fp32",
                    candidate.kernel() + ", " + Figures.significant(rate) + " GOP/s"));
        }
    }

    /** Times two threads against one. */
    void scaling(int size) {
        for (BenchProduct.Format format : List.of(BenchProduct.Format.FP32, BenchProduct.Format.INT8_BLOCK)) {
            try (Backend two = open(backendName, 2);
                    Backend one = open(backendName, 1);
                    BenchProduct candidate = new BenchProduct(two, format, size);
                    BenchProduct baseline = new BenchProduct(one, format, size)) {
                BenchPair pair = BenchPair.of(BenchPair.Clock.WALL, candidate, baseline, effort);
                String shape = size + "x" + size + "x" + size;
                add(new BenchRow("product", format.label(), shape, 2, pair, "one thread", candidate.kernel()));
            }
        }
    }

    /** Times linear layers of 1024 tokens. */
    void layers(int features) {
        int tokens = 1024;
        for (String quantizer : List.of("int8-fallback", "luq", "int4", "fp8")) {
            try (Backend backend = open(backendName, threads);
                    Backend other = open(backendName, threads);
                    BenchLayer candidate = new BenchLayer(backend, quantizer, tokens, features);
                    BenchLayer baseline = new BenchLayer(other, "fp32", tokens, features)) {
                BenchPair pair = BenchPair.of(clock, candidate, baseline, effort);
                String shape = tokens + " tokens, " + features + "x" + features;
                add(new BenchRow(
                        "linear layer, both passes", quantizer, shape, threads, pair, backendName + " fp32", ""));
            }
        }
    }

    /** Times whole training steps. */
    void steps() {
        for (String quantizer : List.of("int8-fallback", "luq", "int4", "fp8")) {
            try (Backend backend = open(backendName, threads);
                    Backend other = open(backendName, threads);
                    BenchStep candidate = new BenchStep(backend, quantizer);
                    BenchStep baseline = new BenchStep(other, "fp32")) {
                BenchPair pair = BenchPair.of(clock, candidate, baseline, effort);
                double share = (double) candidate.savedBytes() / baseline.savedBytes();
                add(new BenchRow(
                        "training step",
                        quantizer,
                        BenchStep.shape(),
                        threads,
                        pair,
                        backendName + " fp32",
                        "saved activations " + Figures.bytes(candidate.savedBytes()) + ", " + Figures.fixed(share, 2)
                                + " of fp32's"));
            }
        }
        if (!baselineName.isEmpty()) {
            rateOfStep();
        }
    }

    /** Compares the rate of the FP32 step with that of the base line's product. */
    private void rateOfStep() {
        int size = 2048;
        try (Backend backend = open(backendName, threads);
                Backend other = open(baselineName, threads);
                BenchStep step = new BenchStep(backend, "fp32");
                BenchProduct product = new BenchProduct(other, BenchProduct.Format.FP32, size)) {
            BenchPair pair = BenchPair.of(clock, step, product, effort);
            double factor = BenchStep.operations() / (2.0 * size * size * size);
            BenchPair rates = new BenchPair(
                    pair.medianNanos(),
                    pair.baselineNanos(),
                    pair.ratio() * factor,
                    pair.lowest() * factor,
                    pair.highest() * factor);
            add(new BenchRow(
                    "training step's rate",
                    "fp32",
                    BenchStep.shape(),
                    threads,
                    rates,
                    baselineName + " fp32 product",
                    "operations of the linear layers alone"));
        }
    }

    /** {@return the table as Markdown} */
    String text() {
        StringBuilder text = new StringBuilder();
        for (Entry<String, String> fact : Machine.facts().entrySet()) {
            text.append("- ")
                    .append(fact.getKey())
                    .append(": ")
                    .append(fact.getValue())
                    .append('\n');
        }
        text.append("- backend: ")
                .append(description)
                .append("\n- pairs: ")
                .append(effort.pairs())
                .append(clock == BenchPair.Clock.THREAD ? "; time of the thread on a processor" : "; time of the wall")
                .append("\n\n");
        text.append("| ").append(String.join(" | ", BenchRow.heads())).append(" |\n");
        text.append("|---".repeat(BenchRow.heads().length)).append("|\n");
        rows.forEach(
                row -> text.append("| ").append(String.join(" | ", row.cells())).append(" |\n"));
        return text.toString();
    }
}
