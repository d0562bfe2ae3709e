package dev.nibble.models;

import dev.nibble.models.layers.QuantizedLayer;
import dev.nibble.models.train.Optimizer;
import dev.nibble.models.train.Task;
import dev.nibble.models.train.TrainingSpec;
import dev.nibble.models.train.WeightAverages;
import dev.nibble.models.train.Workload;
import dev.nibble.quant.Statistic;
import dev.nibble.spi.Backend;
import dev.nibble.spi.Control;
import dev.nibble.spi.NonFinite;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;

/**
 * The steps of a run. A step moves the batches in, enqueues everything on the device, and reads the loss and the control
 * vector when it has ended; the device has decided by then whether the weights changed, unless the guard wants to know the loss before.
 */
final class TrainingLoop implements AutoCloseable {
    private final TrainingSpec spec;
    private final long unitsPerStep;
    private final Backend backend;
    private final RunRecorder recorder;
    private final RunListener listener;
    private final int steps; // before fine-tuning
    private final int all; // with it
    private final PrecisionSchedule precision;
    private final ActiveQuantizers active;
    private final Guard guard;
    private final GuardedSteps guarded;
    private final Workload workload;
    private final Optimizer optimizer;
    private final Optional<WeightAverages> averages;
    private final Tensor loss;
    private final Optional<Checkpointer> checkpointer;
    private long startNanos;
    private boolean measured;

    TrainingLoop(
            PreparedRun prepared,
            Backend backend,
            RunRecorder recorder,
            RunListener listener,
            Optional<Checkpointer> checkpointer) {
        Task task = prepared.task();
        this.spec = task.training();
        this.unitsPerStep = task.units() * spec.microBatches();
        this.backend = backend;
        this.recorder = recorder;
        this.listener = listener;
        this.steps = prepared.steps();
        this.all = steps + spec.fineTuning().steps();
        this.checkpointer = checkpointer;
        this.precision = prepared.precision();
        this.active = new ActiveQuantizers(precision);
        this.workload = task.open(backend, active.byLayer(), prepared.config().seed());
        RecomputeSetting.apply(prepared.recomputes(), workload);
        this.optimizer = new Optimizer(backend, spec.optimizer(), spec.clip(), workload.parameters());
        this.averages = WeightAverages.of(backend, spec.ema(), workload);
        this.loss = backend.allocate("loss", DType.FP32, Shape.of(1), MemoryTag.STATE);
        this.guard = new Guard(prepared.resolution().guard(), spec.schedule().warmup(), recorder);
        this.guarded = new GuardedSteps(prepared, guard, active, recorder, listener, checkpointer, this::state);
    }

    void run() {
        int done = checkpointer.map(c -> c.begin(state())).orElse(0);
        startNanos = System.nanoTime() - Math.round(recorder.secondsBefore() * 1e9);
        try {
            if (evaluationIsDue(done)) { // it was due when the run was interrupted, too
                int next = evaluate(done);
                if (next == done) {
                    save(done);
                }
                done = next;
            }
            while (done != GuardedSteps.END && done < all) {
                done = stepAndWhatFollows(done);
            }
        } finally {
            recorder.elapsed(elapsedSeconds());
        }
    }

    /** {@return what somebody who starts the run should know of how its batches are computed} */
    List<String> notices() {
        return workload.notices();
    }

    /** {@return the step that comes next, or END} */
    private int stepAndWhatFollows(int step) {
        int next = step(step);
        if (next == step + 1 && evaluationIsDue(next)) {
            next = evaluate(next);
        }
        if (next != step + 1) {
            return next;
        }
        boolean last = next == all;
        if (checkpointIsDue(next, last)) {
            save(next);
        }
        return !last && interrupted("after step " + step, next) ? GuardedSteps.END : next;
    }

    private boolean evaluationIsDue(int stepsDone) {
        boolean every = spec.evaluateEvery() > 0 && stepsDone % spec.evaluateEvery() == 0;
        boolean wanted = stepsDone == all || stepsDone == steps || every;
        return wanted && stepsDone > 0 && !recorder.hasEvaluated(stepsDone);
    }

    private boolean checkpointIsDue(int stepsDone, boolean last) {
        return checkpointer
                .map(c -> c.due(stepsDone, last, recorder.bestEvaluation()))
                .orElse(false);
    }

    private boolean interrupted(String where, int stepsDone) {
        if (listener.stopRequested()) {
            interrupt(where, stepsDone);
            return true;
        }
        return false;
    }

    private void interrupt(String where, int stepsDone) {
        if (checkpointer.isPresent() && !checkpointer.orElseThrow().hasSaved(stepsDone)) {
            save(stepsDone);
        }
        recorder.end(RunResult.Status.INTERRUPTED, "the run was interrupted " + where);
    }

    private void save(int stepsDone) {
        checkpointer.orElseThrow().save(stepsDone, guard.dataStep(stepsDone), state(), history());
    }

    private TrainingState state() {
        return new TrainingState(backend, workload, optimizer, averages, active);
    }

    private RunHistory history() {
        return recorder.history(
                elapsedSeconds(), backend.memory().peakBytes(), backend.log().rows());
    }

    private double elapsedSeconds() {
        return (System.nanoTime() - startNanos) * 1e-9;
    }

    /** {@return the step that comes next, or END} */
    private int step(int step) {
        long begin = System.nanoTime();
        active.advance(step, guard.backedOff(step), workload.linears()).ifPresent(guarded::tell);
        float learningRate = guard.learningRate(spec.learningRate(step, steps));
        boolean observed = spec.telemetryEvery() > 0 && step % spec.telemetryEvery() == 0;
        StepContext context = new StepContext(step, 0, StepContext.Mode.TRAIN, learningRate, precision.phase(step));
        for (int microBatch = 0; microBatch < spec.microBatches(); microBatch++) {
            boolean last = microBatch == spec.microBatches() - 1;
            workload.linears().forEach(linear -> linear.observe(observed && last));
            workload.loadTraining(guard.dataStep(step), microBatch);
            context = new StepContext(step, microBatch, context.mode(), learningRate, context.phase());
            pass(context, last);
        }
        workload.linears().forEach(linear -> linear.observe(false));
        double value = backend.readFloats(loss)[0];
        Optional<String> spike = guard.spike(step, value);
        if (guard.holdsUpdates()) {
            if (spike.isPresent()) {
                optimizer.skip();
            }
            try (StepScope scope = backend.beginStep(context)) {
                update(scope);
            }
        }
        float[] control = backend.readFloats(optimizer.control());
        boolean skipped = control[Control.SKIPPED.ordinal()] != 0;
        if (!skipped) {
            workload.linears().forEach(QuantizedLayer::markTrained);
        }
        double duration = (System.nanoTime() - begin) * 1e-9;
        StepRecord row = new StepRecord(
                step,
                value,
                learningRate,
                control[Control.GRADIENT_NORM.ordinal()],
                skipped,
                unitsPerStep / duration,
                elapsedSeconds(),
                precision.phase(step));
        recorder.step(row);
        listener.step(row);
        if (observed) {
            tellTelemetry(step);
        }
        List<NonFinite> found = backend.takeNonFinite();
        boolean byDevice = skipped && !(guard.holdsUpdates() && spike.isPresent());
        OptionalDouble badNorm = byDevice ? OptionalDouble.of(row.gradientNorm()) : OptionalDouble.empty();
        return guarded.afterStep(step, nonFinite(found, value, badNorm), spike, found);
    }

    private void pass(StepContext context, boolean last) {
        try (StepScope scope = backend.beginStep(context)) {
            if (context.microBatch() == 0) {
                optimizer.zeroGradients(scope);
                backend.neural().zero(scope, loss);
            }
            workload.forward(scope, loss, 1f / spec.microBatches());
            if (!measured) {
                measured = true;
                recorder.live(backend.memory(), context.step());
            }
            workload.backward(scope);
            if (last) {
                workload.linears().forEach(QuantizedLayer::releaseWeight);
                optimizer.decide(scope);
                if (!guard.holdsUpdates()) {
                    update(scope);
                }
            }
        }
    }

    private void update(StepScope scope) {
        optimizer.update(scope);
        averages.ifPresent(all -> all.move(scope, optimizer.control()));
        workload.linears().forEach(linear -> linear.afterOptimizer(scope, optimizer.control()));
    }

    private void tellTelemetry(int step) {
        for (QuantizedLayer linear : workload.linears()) {
            LayerTelemetry telemetry = telemetry(linear, step);
            recorder.telemetry(telemetry);
            listener.telemetry(telemetry);
        }
    }

    private LayerTelemetry telemetry(QuantizedLayer linear, int step) {
        float[] statistics = backend.readFloats(linear.statistics()); // [Statistic.count()]
        SortedMap<String, Double> state = new TreeMap<>();
        Set<String> idle = linear.idleState();
        linear.state().all().forEach((name, vector) -> {
            if (vector.shape().elements() == 1 && !idle.contains(name)) {
                state.put(name, (double) backend.readFloats(vector)[0]);
            }
        });
        return new LayerTelemetry(
                linear.layer().site().name(),
                step,
                statistics[Statistic.AMAX.ordinal()],
                statistics[Statistic.FALLBACK_RATE.ordinal()],
                statistics[Statistic.THRESHOLD.ordinal()],
                statistics[Statistic.OUTLIER_RATIO.ordinal()],
                state);
    }

    /** {@return what is not finite, if anything is} */
    private static Optional<String> nonFinite(List<NonFinite> found, double value, OptionalDouble badNorm) {
        if (!found.isEmpty()) {
            NonFinite first = found.getFirst();
            return Optional.of(first.site().name() + ": " + first.role().label() + " holds NaN or infinity");
        }
        if (badNorm.isPresent()) {
            return Optional.of("the norm of all gradients is " + badNorm.getAsDouble());
        }
        return Double.isFinite(value) ? Optional.empty() : Optional.of("the loss is " + value);
    }

    /** {@return the step that comes next, or END} */
    private int evaluate(int stepsDone) {
        Optional<Evaluation> measured = measure(stepsDone);
        // also takes what the evaluation met, so that it does not skip the next step
        List<NonFinite> found = backend.takeNonFinite();
        if (measured.isPresent() && averages.isPresent()) {
            Optional<Evaluation> averaged = measureAverages(stepsDone);
            measured = averaged.map(measured.orElseThrow()::withAverages);
        }
        if (measured.isEmpty()) {
            interrupt("in the evaluation after " + stepsDone + " steps", stepsDone);
            return GuardedSteps.END;
        }
        Evaluation evaluation = measured.orElseThrow();
        recorder.evaluated(evaluation);
        listener.evaluated(evaluation);
        return guarded.afterEvaluation(
                stepsDone, nonFinite(found, evaluation.validationLoss(), OptionalDouble.empty()), found);
    }

    private Optional<Evaluation> measureAverages(int stepsDone) {
        try (StepScope scope = backend.beginStep(StepContext.eval(stepsDone))) {
            averages.orElseThrow().use(scope);
        }
        try {
            return measure(stepsDone);
        } finally {
            try (StepScope scope = backend.beginStep(StepContext.eval(stepsDone))) {
                averages.orElseThrow().putBack(scope);
            }
            backend.takeNonFinite(); // the loss tells; the weights themselves are not concerned
        }
    }

    /** {@return how well held-out data is predicted; empty if the run was interrupted meanwhile} */
    private Optional<Evaluation> measure(int stepsDone) {
        int batches = workload.validationBatches();
        try (StepScope scope = backend.beginStep(StepContext.eval(stepsDone))) {
            backend.neural().zero(scope, loss);
            workload.correct().ifPresent(correct -> backend.neural().zero(scope, correct));
        }
        for (int i = 0; i < batches; i++) {
            workload.loadValidation(i);
            try (StepScope scope = backend.beginStep(StepContext.eval(stepsDone))) {
                workload.evaluate(scope, loss);
            }
            if (i < batches - 1 && listener.stopRequested()) {
                workload.linears().forEach(QuantizedLayer::releaseWeight);
                return Optional.empty();
            }
        }
        workload.linears().forEach(QuantizedLayer::releaseWeight);
        double value = backend.readFloats(loss)[0];
        double accuracy = workload.correct()
                .map(correct -> backend.readFloats(correct)[0] / (double) workload.validationSamples())
                .orElse(Double.NaN);
        return Optional.of(new Evaluation(stepsDone, value, accuracy, workload.scores(value)));
    }

    @Override
    public void close() {
        workload.close();
        optimizer.close();
        averages.ifPresent(WeightAverages::close);
        loss.close();
    }
}
