package dev.nibble.models;

import dev.nibble.error.NibbleException;
import dev.nibble.models.files.IoReason;
import dev.nibble.models.train.TaskKind;
import java.io.BufferedWriter;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** Writes metrics.csv while a run goes on: one line a step, readable at any time. */
final class MetricsFile implements RunListener, AutoCloseable {
    private static final String FIRST_COLUMNS = "step,trainLoss,learningRate,gradientNorm,skipped,";
    private static final String LAST_COLUMNS = ",elapsedSeconds,validationLoss";

    private final Path file;
    private final TaskKind kind;
    private final List<String> scores; // columns
    private BufferedWriter writer;
    private String pending = "";

    /**
     * Starts the file anew.
     *
     * @param averages whether the run keeps averages of its weights
     * @param before steps and evaluations that the run had before it was continued: the first lines
     */
    MetricsFile(Path file, TaskKind kind, boolean averages, RunHistory before) {
        this.file = file;
        this.kind = kind;
        this.scores = Stream.concat(
                        kind.scores().stream(), averages ? Evaluation.averageNames(kind).stream() : Stream.empty())
                .toList();
        this.writer = begun();
        write(before.curve(), before.evaluations());
    }

    private BufferedWriter begun() {
        try {
            BufferedWriter begun = Files.newBufferedWriter(file);
            begun.write(FIRST_COLUMNS
                    + kind.speedKey()
                    + LAST_COLUMNS
                    + (kind.hasAccuracy() ? ",validationAccuracy" : "")
                    + scores.stream().map(name -> "," + name).collect(Collectors.joining())
                    + "\n");
            begun.flush();
            return begun;
        } catch (IOException e) {
            throw failure(e);
        }
    }

    private void write(List<StepRecord> curve, List<Evaluation> evaluations) {
        for (StepRecord step : curve) {
            step(step);
            evaluations.stream()
                    .filter(evaluation -> evaluation.step() == step.step() + 1)
                    .forEach(this::evaluated);
        }
    }

    @Override
    public void wentBack(List<StepRecord> curve, List<Evaluation> evaluations, List<LayerTelemetry> telemetry) {
        close();
        writer = begun();
        write(curve, evaluations);
    }

    @Override
    public void step(StepRecord step) {
        writePending(Optional.empty());
        pending = String.format(
                Locale.ROOT,
                "%d,%s,%s,%s,%s,%.1f,%.3f,",
                step.step(),
                (float) step.loss(),
                (float) step.learningRate(),
                (float) step.gradientNorm(),
                step.skipped(),
                step.unitsPerSecond(),
                step.elapsedSeconds());
    }

    /** An evaluation follows the step that it belongs to, so a line is written when the next one begins. */
    @Override
    public void evaluated(Evaluation evaluation) {
        writePending(Optional.of(evaluation));
    }

    private void writePending(Optional<Evaluation> evaluation) {
        if (pending.isEmpty()) {
            return;
        }
        String loss =
                evaluation.map(e -> String.valueOf((float) e.validationLoss())).orElse("");
        String accuracy = evaluation
                .map(e -> String.valueOf((float) e.validationAccuracy()))
                .orElse("");
        String others = scores.stream()
                .map(name -> ","
                        + evaluation
                                .map(e -> String.valueOf((float) e.score(name)))
                                .orElse(""))
                .collect(Collectors.joining());
        try {
            writer.write(pending + loss + (kind.hasAccuracy() ? "," + accuracy : "") + others + "\n");
            writer.flush();
            pending = "";
        } catch (IOException e) {
            throw failure(e);
        }
    }

    private NibbleException failure(IOException e) {
        return new NibbleException(file + " cannot be written: " + IoReason.of(e), e);
    }

    @Override
    public void close() {
        writePending(Optional.empty());
        try {
            writer.close();
        } catch (IOException e) {
            throw failure(e);
        }
    }
}
