package dev.nibble.cli;

import dev.nibble.models.MemoryForecast;
import dev.nibble.models.RunInfo;
import dev.nibble.models.RunListener;
import dev.nibble.models.StepRecord;
import java.io.PrintStream;
import java.time.Duration;
import java.util.Optional;
import me.tongfei.progressbar.ConsoleProgressBarConsumer;
import me.tongfei.progressbar.ProgressBar;
import me.tongfei.progressbar.ProgressBarBuilder;
import me.tongfei.progressbar.ProgressBarStyle;

/** Shows how far a run is: a bar on a screen, a line every tenth elsewhere, nothing if asked to be quiet. */
sealed interface Progress extends RunListener, AutoCloseable {
    @Override
    void close();

    /** {@return the progress for this terminal} */
    static Progress of(Terminal terminal, boolean quiet) {
        if (quiet) {
            return new Silent();
        }
        return terminal.interactive() ? new Bar(terminal.err(), terminal.errColumns() - 1) : new Lines(terminal.err());
    }

    /** Shows nothing. */
    record Silent() implements Progress {
        @Override
        public void close() {}
    }

    /** A line at the start and every tenth of the way. */
    final class Lines implements Progress {
        private final PrintStream err;
        private String name = "";
        private String unit = "";
        private int steps = 1;
        private int tenths;

        Lines(PrintStream err) {
            this.err = err;
        }

        @Override
        public void started(RunInfo info) {
            name = QuantizerName.of(info.quantizer());
            unit = info.kind().unit();
            steps = info.steps();
            err.println(describe(info));
            err.flush();
        }

        @Override
        public void step(StepRecord step) {
            int done = step.step() + 1;
            int reached = (int) (10L * done / steps);
            if (reached == tenths) {
                return;
            }
            tenths = reached;
            double left = step.elapsedSeconds() / done * (steps - done);
            err.println("%s: step %d of %d (%d %%), loss %s, %s %s/s, %s left"
                    .formatted(
                            name,
                            done,
                            steps,
                            100L * done / steps,
                            Figures.fixed(step.loss(), 4),
                            Figures.count(Math.round(step.unitsPerSecond())),
                            unit,
                            Figures.duration(left)));
            err.flush();
        }

        @Override
        public void close() {}
    }

    /** A line that is drawn over. */
    final class Bar implements Progress {
        private static final int INTERVAL_MILLIS = 250;

        private final PrintStream err;
        private final int width; // characters: one more would begin a line
        private Optional<ProgressBar> bar = Optional.empty();
        private String unit = "";
        private int steps = 1;
        private volatile double secondsLeft = Double.NaN; // read by the thread that draws

        Bar(PrintStream err, int width) {
            this.err = err;
            this.width = width;
        }

        @Override
        public void started(RunInfo info) {
            err.println(describe(info));
            unit = info.kind().unit();
            steps = info.steps();
            bar = Optional.of(new ProgressBarBuilder()
                    .setTaskName(QuantizerName.of(info.quantizer()))
                    .setInitialMax(info.steps())
                    .setStyle(ProgressBarStyle.ASCII)
                    .setUpdateIntervalMillis(INTERVAL_MILLIS)
                    .setConsumer(new ConsoleProgressBarConsumer(err, width))
                    .setEtaFunction(_ -> Double.isNaN(secondsLeft)
                            ? Optional.empty()
                            : Optional.of(Duration.ofSeconds(Math.round(secondsLeft))))
                    .build());
        }

        @Override
        public void step(StepRecord step) {
            int done = step.step() + 1;
            secondsLeft = step.elapsedSeconds() / done * (steps - done);
            bar.ifPresent(shown -> shown.stepTo(done)
                    .setExtraMessage(" loss " + Figures.fixed(step.loss(), 3) + ", "
                            + Figures.count(Math.round(step.unitsPerSecond())) + " " + unit + "/s"));
        }

        @Override
        public void close() {
            bar.ifPresent(ProgressBar::close);
        }
    }

    private static String describe(RunInfo info) {
        return "%s on backend %s: %s, %s steps of %s %s%s"
                .formatted(
                        QuantizerName.of(info.quantizer()),
                        info.backend(),
                        info.modelSummary(),
                        Figures.count(info.steps()),
                        Figures.count(info.unitsPerStep()),
                        info.kind().unit(),
                        info.memory().map(Progress::needs).orElse(""));
    }

    private static String needs(MemoryForecast memory) {
        return "; needs about %s, %s of it saved activations"
                .formatted(Figures.bytes(memory.peak()), Figures.bytes(memory.savedActivations()));
    }
}
