package dev.nibble.models;

import dev.nibble.models.checkpoint.Checkpoint;
import dev.nibble.models.checkpoint.CheckpointFile;
import dev.nibble.models.files.Sha256;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.io.TempDir;

/** Tiny runs with checkpoints that are broken off and continued. */
abstract class ResumeFixture {
    static final RunOrigin ORIGIN = new RunOrigin("test", "1", List.of(), Map.of());
    static final int STEPS = 7;

    @TempDir
    Path folder;

    final Runs runs = Runs.create();
    final List<String> notices = new ArrayList<>();

    static RunConfig config(String quantizer) {
        return RunFixture.tiny()
                .withSeed(5)
                .withSteps(STEPS)
                .withQuantizer(QuantizerChoice.parse(quantizer))
                .with("train.microBatches", "2")
                .with("train.evaluateEvery", "3")
                .with("train.telemetryEvery", "2");
    }

    /** Asks for the end after a number of questions: one a step, and one for each validation batch but the last. */
    final class Breaking implements RunListener {
        private int questions;

        Breaking(int questions) {
            this.questions = questions;
        }

        @Override
        public boolean stopRequested() {
            questions--;
            return questions == 0;
        }

        @Override
        public void notice(String message) {
            notices.add(message);
        }
    }

    RunResult train(String name, RunConfig config, Start start, int questions) {
        return new RunFolder(folder.resolve(name), ORIGIN).train(runs, config, new Breaking(questions), start);
    }

    RunResult train(String name, RunConfig config, Start start) {
        return train(name, config, start, Integer.MAX_VALUE);
    }

    RunSnapshot snapshot(String name) {
        return new RunSnapshot(folder.resolve(name), STEPS);
    }

    Checkpoint checkpoint(String name, int step) {
        return new Checkpoint(folder.resolve(name + "/checkpoints/step-%06d".formatted(step)), step);
    }

    static void rehash(Checkpoint checkpoint) throws IOException {
        StringBuilder sums = new StringBuilder();
        for (CheckpointFile file : CheckpointFile.values()) {
            if (!Files.exists(checkpoint.file(file))) {
                continue;
            }
            sums.append(Sha256.of(checkpoint.file(file)))
                    .append("  ")
                    .append(file.fileName())
                    .append('\n');
        }
        Files.writeString(checkpoint.path().resolve(Checkpoint.SUMS), sums);
    }

    static List<String> names(Path path) {
        try (Stream<Path> entries = Files.list(path)) {
            return entries.map(entry -> entry.getFileName().toString()).sorted().toList();
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }
}
