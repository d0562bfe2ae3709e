package dev.nibble.models;

import dev.nibble.spi.Backend;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.StepContext;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** Copies what linear layers work on, in the steps that a listener asks for. Numbers of the run stay what they are. */
final class LiveSamples implements AutoCloseable {
    private final PreparedRun run;
    private final RunListener listener;
    private final Backend backend;
    private final Optional<SampledOperands> operands; // if the listener wants any

    LiveSamples(PreparedRun run, RunListener listener, Backend backend) {
        this.run = run;
        this.listener = listener;
        this.operands = listener.wantsSamples() ? Optional.of(SampledOperands.of(backend)) : Optional.empty();
        this.backend = operands.map(o -> o.replacing(backend, this::beginning)).orElse(backend);
    }

    /** {@return what trains} */
    Backend backend() {
        return backend;
    }

    private void beginning(StepContext context) {
        boolean first = context.mode() == StepContext.Mode.TRAIN && context.microBatch() == 0;
        operands.orElseThrow().sample(first && listener.wantsSample(context.step()));
    }

    /** {@return the listener, which also hears what was copied} */
    RunListener listener() {
        return operands.isEmpty()
                ? listener
                : new RunFolder.Both(
                        new RunListener() {
                            @Override
                            public void step(StepRecord row) {
                                tell(row.step());
                            }
                        },
                        listener);
    }

    private void tell(int step) {
        if (operands.isEmpty() || !operands.get().hasSamples()) {
            return;
        }
        List<LayerSample> layers = new ArrayList<>();
        for (LinearLayer layer :
                run.resolution().preset().layers(run.resolution().values())) {
            String label = run.precision().at(layer.site().name(), step).label();
            operands.get().read(backend, layer, label).ifPresent(layers::add);
        }
        operands.get().clear();
        listener.sampled(step, layers);
    }

    @Override
    public void close() {
        operands.ifPresent(SampledOperands::close);
    }
}
