package dev.nibble.cli;

import dev.nibble.models.Evaluation;
import dev.nibble.models.GuardAction;
import dev.nibble.models.RunResult;
import dev.nibble.models.train.TaskKind;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** The runs of a comparison as rows of text: the same cells on the screen and in the report. */
final class ResultTable {
    static final String BASE_LINE = "fp32";

    private ResultTable() {}

    /** {@return the names of the columns} Runs of one table learn the same kind of thing. */
    static List<String> columns(List<FinishedRun> runs) {
        TaskKind kind = runs.isEmpty()
                ? TaskKind.LANGUAGE_MODEL
                : runs.getFirst().result().kind();
        List<String> columns = new ArrayList<>(List.of("quantizer", "train loss", "validation loss", "gap to fp32"));
        if (kind.hasAccuracy()) {
            columns.add("accuracy");
        }
        if (kind == TaskKind.TAGGING) {
            columns.add("entity F1");
        }
        if (kind == TaskKind.LANGUAGE_MODEL) {
            columns.addAll(List.of("perplexity", "bits/byte"));
        }
        if (runs.stream().anyMatch(ResultTable::keepsAverages)) {
            columns.add("validation loss (ema)");
            if (kind.hasAccuracy()) {
                columns.add("accuracy (ema)");
            }
        }
        columns.addAll(List.of(kind.unit() + "/s", "seconds", "peak memory", "saved activations"));
        return columns;
    }

    /** {@return the run in FP32, with the same seed, that a run is compared with; empty for an FP32 run itself} */
    static Optional<FinishedRun> baseLine(List<FinishedRun> runs, FinishedRun of) {
        if (isBaseLine(of)) {
            return Optional.empty();
        }
        return runs.stream()
                .filter(run -> isBaseLine(run) && run.completed())
                .filter(run -> run.config().seed() == of.config().seed())
                .findFirst();
    }

    /** {@return whether other runs are compared with this one} */
    static boolean isBaseLine(FinishedRun run) {
        return run.result().quantizer().equals(BASE_LINE);
    }

    /** {@return the cells of a run, one for each column} */
    static List<String> cells(FinishedRun run, List<FinishedRun> runs) {
        RunResult result = run.result();
        double gap = run.completed() ? run.gapTo(baseLine(runs, run)) : Double.NaN;
        List<String> cells = new ArrayList<>(List.of(
                run.label(),
                Figures.fixed(result.finalTrainLoss(), 4),
                Figures.fixed(result.finalValidationLoss(), 4),
                Figures.signed(gap, 4)));
        if (result.kind().hasAccuracy()) {
            cells.add(accuracy(result));
        }
        if (result.kind() == TaskKind.TAGGING) {
            cells.add(percent(result.score("entityF1")));
        }
        if (result.kind() == TaskKind.LANGUAGE_MODEL) {
            cells.add(Figures.fixed(result.score(TaskKind.PERPLEXITY), 3));
            cells.add(Figures.fixed(result.score(TaskKind.BITS_PER_BYTE), 4));
        }
        if (runs.stream().anyMatch(ResultTable::keepsAverages)) {
            cells.add(Figures.fixed(result.score(Evaluation.AVERAGED_LOSS), 4));
            if (result.kind().hasAccuracy()) {
                cells.add(percent(result.score(Evaluation.AVERAGED_ACCURACY)));
            }
        }
        cells.addAll(List.of(
                Double.isFinite(result.unitsPerSecond())
                        ? Figures.count(Math.round(result.unitsPerSecond()))
                        : Figures.fixed(result.unitsPerSecond(), 0),
                Figures.fixed(result.seconds(), 1),
                result.peakBytes() == 0 ? "-" : Figures.bytes(result.peakBytes()),
                result.savedActivationBytes() == 0 ? "-" : Figures.bytes(result.savedActivationBytes())));
        return cells;
    }

    private static boolean keepsAverages(FinishedRun run) {
        List<Evaluation> evaluations = run.result().evaluations();
        return !evaluations.isEmpty() && !evaluations.getLast().averages().isEmpty();
    }

    private static String accuracy(RunResult result) {
        return percent(result.finalValidationAccuracy());
    }

    private static String percent(double share) {
        double percent = 100 * share;
        return Figures.fixed(percent, 2) + (Double.isNaN(percent) ? "" : " %");
    }

    /** {@return why a run has no full row; empty if it has} */
    static String remark(FinishedRun run) {
        if (run.completed()) {
            List<String> parts = new ArrayList<>();
            int skipped = run.result().skippedSteps();
            if (skipped > 0) {
                parts.add(Figures.count(skipped, "step") + " skipped");
            }
            count(run, GuardAction.ROLLBACK, "rolled back %s").ifPresent(parts::add);
            count(run, GuardAction.BACKOFF, "layers backed off %s").ifPresent(parts::add);
            return String.join(", ", parts);
        }
        return run.result().status().label() + " after "
                + Figures.count(run.result().steps(), "step") + ": " + run.message();
    }

    private static Optional<String> count(FinishedRun run, GuardAction action, String words) {
        long times = run.result().events().stream()
                .filter(event -> event.action() == action)
                .count();
        return times == 0 ? Optional.empty() : Optional.of(words.formatted(Figures.count(times, "time")));
    }

    /** {@return a run in one line, with its units} */
    static String line(FinishedRun run) {
        if (!run.completed()) {
            return run.label() + ": " + remark(run);
        }
        RunResult result = run.result();
        return "%s: train loss %s, validation loss %s,%s%s %s %s/s, %s s"
                .formatted(
                        run.label(),
                        Figures.fixed(result.finalTrainLoss(), 4),
                        Figures.fixed(result.finalValidationLoss(), 4),
                        result.kind().hasAccuracy() ? " accuracy " + accuracy(result) + "," : "",
                        keepsAverages(run) ? " with averaged weights " + averages(result) + "," : "",
                        Figures.count(Math.round(result.unitsPerSecond())),
                        result.kind().unit(),
                        Figures.fixed(result.seconds(), 1));
    }

    private static String averages(RunResult result) {
        String loss = Figures.fixed(result.score(Evaluation.AVERAGED_LOSS), 4);
        return result.kind().hasAccuracy()
                ? loss + " and " + percent(result.score(Evaluation.AVERAGED_ACCURACY))
                : loss;
    }

    /**
     * {@return the table as aligned text}
     *
     * @param screen characters of a line
     */
    static String text(List<FinishedRun> runs, int screen) {
        TextTable table = new TextTable().row(columns(runs).toArray(String[]::new));
        for (FinishedRun run : runs) {
            List<String> row = new ArrayList<>(cells(run, runs));
            row.add(remark(run));
            table.row(row.toArray(String[]::new));
        }
        return table.text(screen);
    }
}
