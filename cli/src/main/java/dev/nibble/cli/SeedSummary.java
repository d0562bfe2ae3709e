package dev.nibble.cli;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.ToDoubleFunction;

/**
 * The runs of one quantizer with several seeds.
 *
 * @param quantizer its label
 * @param loss validation loss
 * @param accuracy share of validation samples classified right; empty for a language model
 * @param gap validation loss minus that of fp32 with the same seed; empty for fp32 itself
 */
record SeedSummary(String quantizer, Sample loss, Sample accuracy, Sample gap) {
    static final List<String> COLUMNS =
            List.of("quantizer", "seeds", "validation loss", "± s.d.", "gap to fp32", "± s.e.", "accuracy", "± s.d.");

    /**
     * Numbers that differ by chance.
     *
     * @param count how many
     * @param mean their mean; NaN if there is none
     * @param deviation their standard deviation (n - 1); NaN below two
     */
    record Sample(int count, double mean, double deviation) {
        static Sample of(List<Double> values) {
            double mean = values.stream().mapToDouble(v -> v).average().orElse(Double.NaN);
            double squares =
                    values.stream().mapToDouble(v -> (v - mean) * (v - mean)).sum();
            int n = values.size();
            return new Sample(n, mean, n < 2 ? Double.NaN : Math.sqrt(squares / (n - 1)));
        }

        /** {@return the standard error of the mean} */
        double standardError() {
            return deviation / Math.sqrt(count);
        }
    }

    /** {@return a summary for each quantizer, in the order of the runs; none if there is one seed} */
    static List<SeedSummary> of(List<FinishedRun> runs) {
        if (runs.stream().map(run -> run.config().seed()).distinct().count() < 2) {
            return List.of();
        }
        Map<String, List<FinishedRun>> byQuantizer = new LinkedHashMap<>();
        for (FinishedRun run : runs) {
            List<FinishedRun> same = byQuantizer.computeIfAbsent(run.result().quantizer(), _ -> new ArrayList<>());
            if (run.completed()) {
                same.add(run);
            }
        }
        return byQuantizer.entrySet().stream()
                .map(entry -> new SeedSummary(
                        entry.getKey(),
                        sample(entry.getValue(), run -> run.result().finalValidationLoss()),
                        sample(entry.getValue(), run -> run.result().finalValidationAccuracy()),
                        sample(entry.getValue(), run -> run.gapTo(ResultTable.baseLine(runs, run)))))
                .toList();
    }

    private static Sample sample(List<FinishedRun> runs, ToDoubleFunction<FinishedRun> number) {
        return Sample.of(runs.stream()
                .map(number::applyAsDouble)
                .filter(value -> !value.isNaN())
                .toList());
    }

    /** {@return one cell for each of {@link #COLUMNS}} */
    List<String> cells() {
        return List.of(
                quantizer,
                String.valueOf(loss.count()),
                Figures.fixed(loss.mean(), 4),
                Figures.fixed(loss.deviation(), 4),
                Figures.signed(gap.mean(), 4),
                Figures.fixed(gap.standardError(), 4),
                Figures.fixed(100 * accuracy.mean(), 2),
                Figures.fixed(100 * accuracy.deviation(), 2));
    }

    /** {@return the numbers by name} */
    ObjectNode json() {
        ObjectNode json = Json.object();
        json.put("quantizer", quantizer);
        json.put("seeds", loss.count());
        Json.put(json, "meanValidationLoss", loss.mean());
        Json.put(json, "deviationValidationLoss", loss.deviation());
        Json.put(json, "meanGapToFp32", gap.mean());
        Json.put(json, "standardErrorGapToFp32", gap.standardError());
        Json.put(json, "meanValidationAccuracy", accuracy.mean());
        Json.put(json, "deviationValidationAccuracy", accuracy.deviation());
        return json;
    }

    /**
     * {@return the summaries as aligned text; empty if there is none}
     *
     * @param screen characters of a line
     */
    static Optional<String> text(List<FinishedRun> runs, int screen) {
        List<SeedSummary> summaries = of(runs);
        if (summaries.isEmpty()) {
            return Optional.empty();
        }
        TextTable table = new TextTable().row(COLUMNS.toArray(String[]::new));
        summaries.forEach(summary -> table.row(summary.cells().toArray(String[]::new)));
        return Optional.of(table.text(screen));
    }
}
