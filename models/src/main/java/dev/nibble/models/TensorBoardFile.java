package dev.nibble.models;

import dev.nibble.error.NibbleException;
import dev.nibble.models.files.EventFile;
import dev.nibble.models.files.IoReason;
import dev.nibble.models.train.TaskKind;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.SequencedMap;

/** Writes what a run reports as a TensorBoard event file while it goes on, if the run wants it. */
final class TensorBoardFile implements RunListener, AutoCloseable {
    private static final String SETTING = "train.tensorboard";

    /** The setting. */
    static final List<Setting> SETTINGS = List.of(new Setting(
            SETTING,
            Setting.Type.BOOLEAN,
            "false",
            "whether a TensorBoard event file is written beside metrics.csv; the same as --tensorboard"));

    private static final String FOLDER = "tensorboard";
    // TensorBoard takes any file whose name has ".tfevents."; always the same one, so that a run that goes on has one
    // curve
    private static final String NAME = "events.out.tfevents.nibble";

    private final TaskKind kind;
    private final Path file;
    private final List<RunEvent> told = new ArrayList<>();
    private EventFile events;
    private final double startSeconds; // since 1970, as if the run had not been broken off
    private double elapsedSeconds;

    /**
     * Starts the file anew.
     *
     * @param folder the run's
     * @param before what the run reported before it was continued: the first events
     */
    TensorBoardFile(Path folder, TaskKind kind, RunHistory before) {
        this.kind = kind;
        this.startSeconds = System.currentTimeMillis() / 1000.0 - before.seconds();
        Path own = folder.resolve(FOLDER);
        try {
            Files.createDirectories(own);
        } catch (IOException e) {
            throw new NibbleException(own + " cannot be made: " + IoReason.of(e), e);
        }
        file = own.resolve(NAME);
        events = new EventFile(file, startSeconds);
        write(before.curve(), before.evaluations(), before.telemetry());
        before.events().forEach(this::event);
    }

    private void write(List<StepRecord> curve, List<Evaluation> evaluations, List<LayerTelemetry> telemetry) {
        for (StepRecord step : curve) {
            step(step);
            telemetry.stream().filter(row -> row.step() == step.step()).forEach(this::telemetry);
            evaluations.stream()
                    .filter(evaluation -> evaluation.step() == step.step() + 1)
                    .forEach(this::evaluated);
        }
    }

    @Override
    public void wentBack(List<StepRecord> curve, List<Evaluation> evaluations, List<LayerTelemetry> telemetry) {
        events.close();
        events = new EventFile(file, startSeconds);
        write(curve, evaluations, telemetry);
        told.forEach(this::write);
    }

    /** What the guard did, as the number of its action. */
    @Override
    public void event(RunEvent event) {
        told.add(event);
        write(event);
    }

    private void write(RunEvent event) {
        SequencedMap<String, Double> values = new LinkedHashMap<>();
        values.put("guard/" + event.cause().label(), (double) event.action().ordinal());
        write(event.step(), values);
    }

    /** {@return whether a configuration wants the file} */
    static boolean isWanted(RunConfig config) {
        return Boolean.parseBoolean(config.settings().getOrDefault(SETTING, "false"));
    }

    @Override
    public void step(StepRecord step) {
        elapsedSeconds = step.elapsedSeconds();
        SequencedMap<String, Double> values = new LinkedHashMap<>();
        values.put("loss/train", step.loss());
        values.put("optimizer/learningRate", step.learningRate());
        values.put("optimizer/gradientNorm", step.gradientNorm());
        values.put("optimizer/skipped", step.skipped() ? 1.0 : 0.0);
        values.put("speed/" + kind.speedKey(), step.unitsPerSecond());
        write(step.step(), values);
    }

    /** The evaluation after step s stands at s, as the step's own loss does. */
    @Override
    public void evaluated(Evaluation evaluation) {
        SequencedMap<String, Double> values = new LinkedHashMap<>();
        values.put("loss/validation", evaluation.validationLoss());
        if (kind.hasAccuracy()) {
            values.put("accuracy/validation", evaluation.validationAccuracy());
        }
        kind.scores().forEach(name -> values.put(name + "/validation", evaluation.score(name)));
        evaluation.averages().forEach((name, value) -> values.put("ema/" + name, value));
        write(evaluation.step() - 1L, values);
    }

    @Override
    public void telemetry(LayerTelemetry row) {
        SequencedMap<String, Double> values = new LinkedHashMap<>();
        values.put("amax/" + row.layer(), row.amax());
        values.put("fallbackRate/" + row.layer(), row.fallbackRate());
        values.put("outlierRatio/" + row.layer(), row.outlierRatio());
        row.state().forEach((name, value) -> values.put("state/" + row.layer() + "/" + name, value));
        write(row.step(), values);
    }

    private void write(long step, SequencedMap<String, Double> values) {
        events.write(startSeconds + elapsedSeconds, step, values);
    }

    @Override
    public void close() {
        events.close();
    }
}
