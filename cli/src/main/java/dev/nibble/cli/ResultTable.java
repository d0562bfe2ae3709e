package dev.nibble.cli;

import dev.nibble.models.RunResult;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** The runs of a comparison as rows of text: the same cells on the screen and in the report. */
final class ResultTable {
    static final String BASE_LINE = "fp32";
    static final List<String> COLUMNS = List.of(
            "quantizer",
            "train loss",
            "validation loss",
            "gap to fp32",
            "tokens/s",
            "seconds",
            "peak memory",
            "saved activations");

    private ResultTable() {}

    /** {@return the run that the others are compared with} */
    static Optional<FinishedRun> baseLine(List<FinishedRun> runs) {
        return runs.stream()
                .filter(run -> run.result().quantizer().equals(BASE_LINE) && run.completed())
                .findFirst();
    }

    /** {@return the cells of a run, one for each column} */
    static List<String> cells(FinishedRun run, Optional<FinishedRun> baseLine) {
        RunResult result = run.result();
        boolean comparable = run.completed() && !result.quantizer().equals(BASE_LINE);
        double gap = comparable ? run.gapTo(baseLine) : Double.NaN;
        return List.of(
                result.quantizer(),
                Figures.fixed(result.finalTrainLoss(), 4),
                Figures.fixed(result.finalValidationLoss(), 4),
                Figures.signed(gap, 4),
                Double.isFinite(run.result().tokensPerSecond())
                        ? Figures.count(Math.round(run.result().tokensPerSecond()))
                        : Figures.fixed(run.result().tokensPerSecond(), 0),
                Figures.fixed(result.seconds(), 1),
                result.peakBytes() == 0 ? "-" : Figures.bytes(result.peakBytes()),
                result.savedActivationBytes() == 0 ? "-" : Figures.bytes(result.savedActivationBytes()));
    }

    /** {@return why a run has no full row; empty if it has} */
    static String remark(FinishedRun run) {
        if (run.completed()) {
            int skipped = run.result().skippedSteps();
            return skipped == 0 ? "" : skipped + " steps skipped: not finite";
        }
        return run.result().status().label() + " after " + run.result().steps() + " steps: " + run.message();
    }

    /** {@return a run in one line, with its units} */
    static String line(FinishedRun run) {
        if (!run.completed()) {
            return run.result().quantizer() + ": " + remark(run);
        }
        return "%s: train loss %s, validation loss %s, %s tokens/s, %s s"
                .formatted(
                        run.result().quantizer(),
                        Figures.fixed(run.result().finalTrainLoss(), 4),
                        Figures.fixed(run.result().finalValidationLoss(), 4),
                        Figures.count(Math.round(run.result().tokensPerSecond())),
                        Figures.fixed(run.result().seconds(), 1));
    }

    /** {@return the table as aligned text} */
    static String text(List<FinishedRun> runs) {
        Optional<FinishedRun> baseLine = baseLine(runs);
        TextTable table = new TextTable().row(COLUMNS.toArray(String[]::new));
        for (FinishedRun run : runs) {
            List<String> row = new ArrayList<>(cells(run, baseLine));
            row.add(remark(run));
            table.row(row.toArray(String[]::new));
        }
        return table.text();
    }
}
