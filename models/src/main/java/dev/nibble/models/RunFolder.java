package dev.nibble.models;

import dev.nibble.error.NibbleException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.AccessDeniedException;
import java.nio.file.AtomicMoveNotSupportedException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.List;
import java.util.Locale;

/**
 * The folder of a run: {@code run.json}, {@code metrics.csv}, and what others add. A file is written under a temporary
 * name and then moved, so that it is either whole or absent.
 */
public final class RunFolder {
    private static final String RUN = "run.json";
    private static final String REPORT = "report.html";
    private static final String METRICS = "metrics.csv";
    private static final List<String> OWN = List.of(RUN, REPORT, METRICS); // one of them marks the folder of a run
    private static final String TEMPORARY = ".tmp";

    private final Path path;

    private RunFolder(Path path) {
        this.path = path;
    }

    /**
     * {@return a folder, made if it does not exist, into which files can be written}
     *
     * @throws IllegalArgumentException if it is a file, or holds something, but no run.json, metrics.csv or report.html
     * @throws NibbleException if it cannot be made, listed, or written into
     */
    public static RunFolder open(Path path) {
        if (Files.exists(path) && !Files.isDirectory(path)) {
            throw new IllegalArgumentException("output " + path + " is a file, but must be a folder");
        }
        try {
            Files.createDirectories(path);
            requireOwn(path);
            Files.delete(Files.createTempFile(path, ".writable", TEMPORARY));
        } catch (IOException e) {
            throw new NibbleException(
                    "output folder " + path + " cannot be written into: " + reason(e) + "; choose another --out", e);
        }
        return new RunFolder(path);
    }

    private static void requireOwn(Path path) throws IOException {
        boolean own = OWN.stream().anyMatch(name -> Files.exists(path.resolve(name)));
        try (DirectoryStream<Path> entries = Files.newDirectoryStream(path, entry -> !isTemporary(entry))) {
            if (!own && entries.iterator().hasNext()) {
                throw new IllegalArgumentException("output folder " + path
                        + " holds other files, but must be new, empty, or the folder of an earlier run");
            }
        }
    }

    /** {@return whether this is what a run that was killed while it wrote has left} */
    private static boolean isTemporary(Path entry) {
        String name = entry.getFileName().toString();
        return name.startsWith(".") && name.endsWith(TEMPORARY);
    }

    /** {@return where it is} */
    public Path path() {
        return path;
    }

    /** {@return the folder inside this one with this name: {@code compare} has one for each run} */
    public RunFolder child(String name) {
        return open(path.resolve(name));
    }

    /**
     * Writes {@code run.json} and {@code metrics.csv}.
     *
     * @throws NibbleException if the disk is full or the folder cannot be written into
     */
    public void write(RunConfig config, RunResult result) {
        writeText(METRICS, metrics(result));
        writeText(RUN, RunJson.text(config, result));
    }

    /**
     * Writes a UTF-8 file, replacing one with the same name.
     *
     * @throws NibbleException if the disk is full or the folder cannot be written into
     */
    public void writeText(String name, String text) {
        Path target = path.resolve(name);
        try {
            Path temporary = path.resolve("." + name + TEMPORARY);
            try {
                Files.write(temporary, text.getBytes(StandardCharsets.UTF_8));
                move(temporary, target);
            } finally {
                Files.deleteIfExists(temporary);
            }
        } catch (IOException e) {
            throw new NibbleException(
                    target + " cannot be written: " + reason(e) + "; free some space or choose another --out", e);
        }
    }

    private static void move(Path from, Path to) throws IOException {
        try {
            Files.move(from, to, StandardCopyOption.ATOMIC_MOVE);
        } catch (AtomicMoveNotSupportedException _) {
            Files.move(from, to, StandardCopyOption.REPLACE_EXISTING);
        }
    }

    private static String reason(IOException e) {
        return switch (e) {
            case AccessDeniedException _ -> "permission denied";
            case NoSuchFileException _ -> "a folder on its path does not exist";
            default -> String.valueOf(e.getMessage());
        };
    }

    private static String metrics(RunResult result) {
        StringBuilder csv = new StringBuilder(
                "step,loss,learning_rate,gradient_norm,skipped,tokens_per_second,elapsed_seconds,validation_loss\n");
        for (StepRecord step : result.curve()) {
            csv.append(String.format(
                    Locale.ROOT,
                    "%d,%s,%s,%s,%d,%.1f,%.3f,%s\n",
                    step.step(),
                    (float) step.loss(),
                    (float) step.learningRate(),
                    (float) step.gradientNorm(),
                    step.skipped() ? 1 : 0,
                    step.tokensPerSecond(),
                    step.elapsedSeconds(),
                    validation(result, step.step() + 1)));
        }
        return csv.toString();
    }

    /** {@return the validation loss after so many steps; empty if there was no evaluation} */
    private static String validation(RunResult result, int stepsDone) {
        return result.evaluations().stream()
                .filter(evaluation -> evaluation.step() == stepsDone)
                .findFirst()
                .map(evaluation -> String.valueOf((float) evaluation.validationLoss()))
                .orElse("");
    }
}
