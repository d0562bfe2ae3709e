package dev.nibble.models;

import com.google.inject.AbstractModule;
import com.google.inject.Guice;
import com.google.inject.Module;
import com.google.inject.multibindings.MapBinder;
import com.google.inject.multibindings.OptionalBinder;
import dev.nibble.models.layers.Parameter;
import dev.nibble.models.layers.QuantizedLayer;
import dev.nibble.models.train.Task;
import dev.nibble.models.train.TaskKind;
import dev.nibble.models.train.TrainingSpec;
import dev.nibble.models.train.Workload;
import dev.nibble.spi.Availability;
import dev.nibble.spi.Backend;
import dev.nibble.spi.BackendChoice;
import dev.nibble.spi.BackendOptions;
import dev.nibble.spi.BackendProvider;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;

/** Tiny runs, and modules of an application that watches or disturbs them. */
final class RunFixture {
    private RunFixture() {}

    /** One block of width 32 on 64 tokens a step: milliseconds a step on any backend. */
    static RunConfig tiny() {
        return RunConfig.of("text")
                .with("model.width", "32")
                .with("model.heads", "2")
                .with("model.hidden", "48")
                .with("model.layers", "1")
                .with("data.batch", "4")
                .with("data.sequence", "16")
                .with("data.validationBatches", "2")
                .with("train.warmup", "2")
                .withSteps(4);
    }

    static Runs runs(Module application) {
        return Guice.createInjector(new NibbleModule(), application).getInstance(Runs.class);
    }

    /** An application's module that remembers the backends that runs open. */
    static final class WatchedBackends extends AbstractModule implements BackendLookup {
        final List<Backend> opened = new ArrayList<>();

        @Override
        protected void configure() {
            OptionalBinder.newOptionalBinder(binder(), BackendLookup.class)
                    .setBinding()
                    .toInstance(this);
        }

        @Override
        public BackendProvider get(String name) {
            BackendProvider provider = BackendChoice.of(name).provider();
            return new BackendProvider() {
                @Override
                public String name() {
                    return provider.name();
                }

                @Override
                public int spiVersion() {
                    return provider.spiVersion();
                }

                @Override
                public String description() {
                    return provider.description();
                }

                @Override
                public Availability availability() {
                    return provider.availability();
                }

                @Override
                public int preference() {
                    return provider.preference();
                }

                @Override
                public Backend open(BackendOptions options) {
                    opened.add(provider.open(options));
                    return opened.getLast();
                }
            };
        }
    }

    /** What happens to a workload between steps, outside a scope. */
    interface Disturbance {
        void before(Backend backend, Workload workload, int step);

        default void atEnd(Backend backend, Workload workload) {}
    }

    /** An application's module with a preset {@code disturbed}: the text preset, with something done to its weights. */
    record Disturbed(Disturbance disturbance) implements Module, Preset {
        @Override
        public void configure(com.google.inject.Binder binder) {
            MapBinder.newMapBinder(binder, String.class, Preset.class)
                    .addBinding(name())
                    .toInstance(this);
        }

        static RunConfig config() {
            RunConfig tiny = tiny();
            return new RunConfig(
                    "disturbed",
                    tiny.quantizer(),
                    tiny.overrides(),
                    tiny.backend(),
                    tiny.seed(),
                    tiny.steps(),
                    tiny.threads(),
                    tiny.strict(),
                    tiny.nonFinite(),
                    tiny.settings());
        }

        @Override
        public String name() {
            return "disturbed";
        }

        @Override
        public String description() {
            return "";
        }

        @Override
        public TaskKind kind() {
            return new TextPreset().kind();
        }

        @Override
        public List<Setting> settings() {
            return new TextPreset().settings();
        }

        @Override
        public List<LinearLayer> layers(SettingValues values) {
            return new TextPreset().layers(values);
        }

        @Override
        public String ownQuantizer(LinearLayer layer) {
            return new TextPreset().ownQuantizer(layer);
        }

        @Override
        public Task prepare(SettingValues values) {
            return new DisturbedTask(new TextPreset().prepare(values), disturbance);
        }
    }

    private record DisturbedTask(Task task, Disturbance disturbance) implements Task {
        @Override
        public String summary() {
            return task.summary();
        }

        @Override
        public long parameters() {
            return task.parameters();
        }

        @Override
        public long units() {
            return task.units();
        }

        @Override
        public TrainingSpec training() {
            return task.training();
        }

        @Override
        public Workload open(Backend backend, Function<LinearLayer, LinearQuantizer> quantizers, long seed) {
            return new DisturbedWorkload(backend, task.open(backend, quantizers, seed), disturbance);
        }
    }

    private record DisturbedWorkload(Backend backend, Workload workload, Disturbance disturbance) implements Workload {
        @Override
        public List<Parameter> parameters() {
            return workload.parameters();
        }

        @Override
        public List<QuantizedLayer> linears() {
            return workload.linears();
        }

        @Override
        public void repeatBlocks() {
            workload.repeatBlocks();
        }

        @Override
        public void loadTraining(int step, int microBatch) {
            if (backend.hasValues()) { // not while memory is predicted
                disturbance.before(backend, workload, step);
            }
            workload.loadTraining(step, microBatch);
        }

        @Override
        public void forward(StepScope scope, Tensor loss, float weight) {
            workload.forward(scope, loss, weight);
        }

        @Override
        public void backward(StepScope scope) {
            workload.backward(scope);
        }

        @Override
        public int validationBatches() {
            return workload.validationBatches();
        }

        @Override
        public void loadValidation(int index) {
            workload.loadValidation(index);
        }

        @Override
        public void evaluate(StepScope scope, Tensor loss) {
            workload.evaluate(scope, loss);
        }

        @Override
        public void close() {
            if (backend.hasValues()) {
                disturbance.atEnd(backend, workload);
            }
            workload.close();
        }
    }
}
