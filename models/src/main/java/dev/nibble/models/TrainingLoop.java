package dev.nibble.models;

import dev.nibble.models.layers.QuantizedLayer;
import dev.nibble.models.train.Optimizer;
import dev.nibble.models.train.Task;
import dev.nibble.models.train.TrainingSpec;
import dev.nibble.models.train.Workload;
import dev.nibble.quant.Statistic;
import dev.nibble.spi.Backend;
import dev.nibble.spi.Control;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.NonFinite;
import dev.nibble.spi.PlanRequest;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.function.Function;

/**
 * The steps of a run. A step moves the batches in, enqueues everything on the device, and reads the loss and the control
 * vector when it has ended; the device has decided by then whether the weights changed.
 */
final class TrainingLoop implements AutoCloseable {
    private final RunConfig config;
    private final TrainingSpec spec;
    private final long unitsPerStep;
    private final Backend backend;
    private final RunRecorder recorder;
    private final RunListener listener;
    private final int steps; // before fine-tuning
    private final Workload workload;
    private final Optimizer optimizer;
    private final Tensor loss;
    private final Optional<Checkpointer> checkpointer;
    private long startNanos;
    private boolean measured;

    TrainingLoop(
            PreparedRun prepared,
            Backend backend,
            Function<LinearLayer, LinearQuantizer> quantizers,
            RunRecorder recorder,
            RunListener listener,
            Optional<Checkpointer> checkpointer) {
        Task task = prepared.task();
        this.config = prepared.config();
        this.spec = task.training();
        this.unitsPerStep = task.units() * spec.microBatches();
        this.backend = backend;
        this.recorder = recorder;
        this.listener = listener;
        this.steps = prepared.steps();
        this.checkpointer = checkpointer;
        this.workload = task.open(backend, quantizers, config.seed());
        this.optimizer = new Optimizer(backend, spec.optimizer(), spec.clip(), workload.parameters());
        this.loss = backend.allocate("loss", DType.FP32, Shape.of(1), MemoryTag.STATE);
    }

    void run() {
        int done = checkpointer.map(c -> c.begin(state())).orElse(0);
        startNanos = System.nanoTime() - Math.round(recorder.secondsBefore() * 1e9);
        try {
            int all = steps + spec.fineTuning().steps();
            if (evaluationIsDue(done, all)) { // it was due when the run was interrupted, too
                if (!evaluate(done)) {
                    return;
                }
                save(done);
            }
            for (int step = done; step < all; step++) {
                if (!step(step) || (evaluationIsDue(step + 1, all) && !evaluate(step + 1))) {
                    return;
                }
                boolean last = step == all - 1;
                if (checkpointIsDue(step + 1, last)) {
                    save(step + 1);
                }
                if (!last && interrupted("after step " + step, step + 1)) {
                    return;
                }
            }
        } finally {
            recorder.elapsed(elapsedSeconds());
        }
    }

    private boolean evaluationIsDue(int stepsDone, int all) {
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
            if (checkpointer.isPresent() && !checkpointer.orElseThrow().hasSaved(stepsDone)) {
                save(stepsDone);
            }
            recorder.end(RunResult.Status.INTERRUPTED, "the run was interrupted " + where);
            return true;
        }
        return false;
    }

    private void save(int stepsDone) {
        checkpointer.orElseThrow().save(stepsDone, state(), history());
    }

    private TrainingState state() {
        return new TrainingState(backend, workload, optimizer);
    }

    private RunHistory history() {
        return recorder.history(
                elapsedSeconds(), backend.memory().peakBytes(), backend.log().rows());
    }

    private double elapsedSeconds() {
        return (System.nanoTime() - startNanos) * 1e-9;
    }

    /** {@return whether the run goes on} */
    private boolean step(int step) {
        long begin = System.nanoTime();
        float learningRate = spec.learningRate(step, steps);
        PlanRequest.Phase phase = step < steps ? PlanRequest.Phase.LOW_BIT : PlanRequest.Phase.FINE_TUNE;
        boolean observed = spec.telemetryEvery() > 0 && step % spec.telemetryEvery() == 0;
        for (int microBatch = 0; microBatch < spec.microBatches(); microBatch++) {
            boolean last = microBatch == spec.microBatches() - 1;
            workload.linears().forEach(linear -> linear.observe(observed && last));
            workload.loadTraining(step, microBatch);
            pass(new StepContext(step, microBatch, StepContext.Mode.TRAIN, learningRate, phase), last);
        }
        workload.linears().forEach(linear -> linear.observe(false));
        float[] control = backend.readFloats(optimizer.control());
        float value = backend.readFloats(loss)[0];
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
                phase);
        recorder.step(row);
        listener.step(row);
        if (observed) {
            for (QuantizedLayer linear : workload.linears()) {
                LayerTelemetry telemetry = telemetry(linear, step);
                recorder.telemetry(telemetry);
                listener.telemetry(telemetry);
            }
        }
        return finite(row.skipped(), row.loss(), "at step " + step, row.gradientNorm());
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
                optimizer.step(scope);
                workload.linears().forEach(linear -> linear.afterOptimizer(scope, optimizer.control()));
            }
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

    /** {@return whether the run goes on} */
    private boolean finite(boolean skipped, double value, String when, double gradientNorm) {
        List<NonFinite> found = backend.takeNonFinite();
        boolean bad = skipped || !found.isEmpty() || !Double.isFinite(value);
        if (!bad || config.nonFinite() == NonFinitePolicy.SKIP) {
            return true;
        }
        String what;
        if (!found.isEmpty()) {
            NonFinite first = found.getFirst();
            what = first.site().name() + ": " + first.role().label() + " holds NaN or infinity";
        } else if (skipped) {
            what = "the norm of all gradients is " + gradientNorm;
        } else {
            what = "the loss is " + value;
        }
        recorder.end(
                RunResult.Status.STOPPED,
                what + " " + when + ", but training needs finite values; lower train.learningRate, choose another"
                        + " quantizer for the layer, or skip such steps");
        return false;
    }

    /** {@return whether the run goes on} */
    private boolean evaluate(int stepsDone) {
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
            if (i < batches - 1 && interrupted("in the evaluation after " + stepsDone + " steps", stepsDone)) {
                return false;
            }
        }
        workload.linears().forEach(QuantizedLayer::releaseWeight);
        double value = backend.readFloats(loss)[0];
        double accuracy = workload.correct()
                .map(correct -> backend.readFloats(correct)[0] / (double) workload.validationSamples())
                .orElse(Double.NaN);
        Evaluation evaluation = new Evaluation(stepsDone, value, accuracy);
        recorder.evaluated(evaluation);
        listener.evaluated(evaluation);
        // also takes what the evaluation met, so that it does not skip the next step
        return finite(false, value, "in the evaluation after " + stepsDone + " steps", Double.NaN);
    }

    @Override
    public void close() {
        workload.close();
        optimizer.close();
        loss.close();
    }
}
