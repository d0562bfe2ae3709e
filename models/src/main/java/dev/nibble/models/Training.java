package dev.nibble.models;

import dev.nibble.error.NibbleException;
import dev.nibble.models.train.Task;
import dev.nibble.models.train.TaskKind;
import dev.nibble.spi.Backend;
import dev.nibble.spi.BackendProvider;
import dev.nibble.spi.MemoryLayout;
import java.util.Optional;

/** One run: opens the backend, trains, and gathers the result. */
final class Training {
    private static final System.Logger LOG = System.getLogger(Training.class.getName());

    private final TaskKind kind;
    private final PreparedRun prepared;
    private final RunListener listener;
    private final Optional<Checkpointer> checkpointer;

    Training(TaskKind kind, PreparedRun prepared, RunListener listener, Optional<Checkpointer> checkpointer) {
        this.kind = kind;
        this.prepared = prepared;
        this.listener = listener;
        this.checkpointer = checkpointer;
    }

    RunResult run(BackendProvider provider) {
        RunConfig config = prepared.config();
        Task task = prepared.task();
        int steps = prepared.steps();
        RunHistory before = checkpointer.map(Checkpointer::history).orElse(RunHistory.EMPTY);
        RunRecorder recorder = new RunRecorder(kind, config, task, provider.name(), before);
        try (Backend backend = provider.open(config.backendOptions())) {
            recorder.opened(backend.description());
            Optional<MemoryForecast> memory = forecast(backend.memoryLayout());
            memory.ifPresent(recorder::forecast);
            try (LiveSamples samples = new LiveSamples(prepared, listener, backend);
                    TrainingLoop loop =
                            new TrainingLoop(prepared, samples.backend(), recorder, samples.listener(), checkpointer)) {
                listener.started(new RunInfo(
                        kind,
                        config.quantizer().label(),
                        backend.name(),
                        backend.description(),
                        steps + task.training().fineTuning().steps(),
                        task.units() * task.training().microBatches(),
                        task.parameters(),
                        task.summary(),
                        memory));
                task.notices().forEach(listener::notice);
                loop.notices().forEach(listener::notice);
                loop.run();
            } catch (NibbleException | IllegalArgumentException e) { // the latter: a quantizer's plan for this shape
                LOG.log(System.Logger.Level.DEBUG, "the run failed", e);
                recorder.failed(e);
            } finally {
                recorder.measured(backend.memory(), backend.log().rows());
            }
        }
        return recorder.result();
    }

    /** {@return what the run will hold; empty if it cannot run: it says why itself} */
    private Optional<MemoryForecast> forecast(MemoryLayout layout) {
        try {
            return Optional.of(MemoryForecast.of(
                    prepared.task(),
                    prepared.precision(),
                    prepared.recomputes(),
                    prepared.config().seed(),
                    layout));
        } catch (NibbleException | IllegalArgumentException e) {
            LOG.log(System.Logger.Level.DEBUG, "memory is not predicted", e);
            return Optional.empty();
        }
    }
}
