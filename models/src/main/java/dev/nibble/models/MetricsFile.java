package dev.nibble.models;

import dev.nibble.error.NibbleException;
import dev.nibble.models.files.IoReason;
import java.io.BufferedWriter;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;

/** Writes metrics.csv while a run goes on: one line a step, readable at any time. */
final class MetricsFile implements RunListener, AutoCloseable {
    private static final String HEADER =
            "step,trainLoss,learningRate,gradientNorm,skipped,tokensPerSecond,elapsedSeconds,validationLoss";

    private final Path file;
    private final BufferedWriter writer;
    private String pending = "";

    /** Starts the file anew. */
    MetricsFile(Path file) {
        this.file = file;
        try {
            this.writer = Files.newBufferedWriter(file);
            writer.write(HEADER + "\n");
            writer.flush();
        } catch (IOException e) {
            throw failure(e);
        }
    }

    @Override
    public void step(StepRecord step) {
        writePending("");
        pending = String.format(
                Locale.ROOT,
                "%d,%s,%s,%s,%s,%.1f,%.3f,",
                step.step(),
                (float) step.loss(),
                (float) step.learningRate(),
                (float) step.gradientNorm(),
                step.skipped(),
                step.tokensPerSecond(),
                step.elapsedSeconds());
    }

    /** An evaluation follows the step that it belongs to, so a line is written when the next one begins. */
    @Override
    public void evaluated(int step, double validationLoss) {
        writePending(String.valueOf((float) validationLoss));
    }

    private void writePending(String validationLoss) {
        if (pending.isEmpty()) {
            return;
        }
        try {
            writer.write(pending + validationLoss + "\n");
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
        writePending("");
        try {
            writer.close();
        } catch (IOException e) {
            throw failure(e);
        }
    }
}
