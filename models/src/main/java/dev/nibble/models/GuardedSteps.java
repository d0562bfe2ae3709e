package dev.nibble.models;

import dev.nibble.spi.NonFinite;
import java.util.List;
import java.util.Optional;
import java.util.function.Supplier;

/** Does what the guard of a run decides, and tells of it. */
final class GuardedSteps {
    /** Instead of the step that comes next: the run ends. */
    static final int END = -1;

    private final GuardSettings settings;
    private final NonFinitePolicy policy;
    private final Guard guard;
    private final ActiveQuantizers active;
    private final RunRecorder recorder;
    private final RunListener listener;
    private final Optional<Checkpointer> checkpointer;
    private final Supplier<TrainingState> state;

    /**
     * What went wrong.
     *
     * @param step the step; of an evaluation, the one before
     * @param what where and how, in words
     * @param found operands that were not finite
     * @param update whether the step's update is left out
     */
    private record Trouble(int step, RunEvent.Cause cause, String what, List<NonFinite> found, boolean update) {
        RunEvent event(GuardAction action, List<String> layers, int target, String done) {
            return new RunEvent(step, cause, action, layers, target, what + done);
        }

        RunEvent event(GuardAction action, String done) {
            return event(action, List.of(), step + 1, done);
        }
    }

    /**
     * Prepares.
     *
     * @param state of the run, to bring it back
     */
    GuardedSteps(
            PreparedRun prepared,
            Guard guard,
            ActiveQuantizers active,
            RunRecorder recorder,
            RunListener listener,
            Optional<Checkpointer> checkpointer,
            Supplier<TrainingState> state) {
        this.settings = prepared.resolution().guard();
        this.policy = prepared.config().nonFinite();
        this.guard = guard;
        this.active = active;
        this.recorder = recorder;
        this.listener = listener;
        this.checkpointer = checkpointer;
        this.state = state;
    }

    /** Records an event, and tells the listener of it. */
    void tell(RunEvent event) {
        recorder.event(event);
        listener.event(event);
    }

    /**
     * {@return the step that comes after a step, or END}
     *
     * @param step the step, recorded
     * @param nonFinite what was not finite; empty for nothing
     * @param spike what its loss is if it is a spike
     * @param found operands that were not finite
     */
    int afterStep(int step, Optional<String> nonFinite, Optional<String> spike, List<NonFinite> found) {
        if (nonFinite.isPresent()) {
            String what = nonFinite.orElseThrow() + " at step " + step;
            return act(new Trouble(step, RunEvent.Cause.NON_FINITE, what, found, true), policy.action());
        }
        return spike.map(what -> act(new Trouble(step, RunEvent.Cause.SPIKE, what, List.of(), true), settings.spike()))
                .orElse(step + 1);
    }

    /**
     * {@return the step that comes after an evaluation, or END}
     *
     * @param stepsDone steps before it
     * @param nonFinite what was not finite; empty for nothing
     * @param found operands that were not finite
     */
    int afterEvaluation(int stepsDone, Optional<String> nonFinite, List<NonFinite> found) {
        // there is no update to leave out
        GuardAction action = policy.action() == GuardAction.SKIP ? GuardAction.NOTE : policy.action();
        return nonFinite
                .map(what -> what + " in the evaluation after " + stepsDone + " steps")
                .map(what -> act(new Trouble(stepsDone - 1, RunEvent.Cause.NON_FINITE, what, found, false), action))
                .orElse(stepsDone);
    }

    private int act(Trouble trouble, GuardAction action) {
        int next = trouble.step() + 1;
        boolean acts = action == GuardAction.SKIP || action == GuardAction.BACKOFF || action == GuardAction.ROLLBACK;
        if (acts && guard.exhausted(trouble.step())) {
            return stop(
                    trouble,
                    "; the run gives up after %d such events (guard.limit): lower train.learningRate, or choose another"
                            + " quantizer");
        }
        switch (action) {
            case IGNORE -> {}
            case NOTE -> tell(trouble.event(action, ""));
            case SKIP -> tell(trouble.event(action, ": the step is left out"));
            case BACKOFF -> tell(backOff(trouble));
            case ROLLBACK -> next = goBack(trouble);
            case STOP ->
                next = stop(
                        trouble,
                        trouble.cause() == RunEvent.Cause.SPIKE
                                ? "; lower train.learningRate, or choose another policy for guard.spike"
                                : ", but training needs finite values; lower train.learningRate, choose another quantizer for"
                                        + " the layer, or skip such steps");
        }
        return next;
    }

    private int stop(Trouble trouble, String remedy) {
        String message = trouble.what() + remedy.formatted(settings.limit());
        recorder.event(trouble.event(GuardAction.STOP, ""));
        recorder.end(RunResult.Status.STOPPED, message);
        return END;
    }

    private RunEvent backOff(Trouble trouble) {
        List<String> layers = Guard.offending(trouble.found(), active.names(), active::canBackOff);
        String left = trouble.update() ? ": the step is left out" : "";
        if (layers.isEmpty()) {
            GuardAction action = trouble.update() ? GuardAction.SKIP : GuardAction.NOTE;
            return trouble.event(action, left + "; no layer has anything safer to back off to");
        }
        List<String> fallbacks =
                layers.stream().map(active::fallback).distinct().sorted().toList();
        String time = settings.backoffSteps() == 0 ? "" : " for " + settings.backoffSteps() + " steps";
        return trouble.event(
                GuardAction.BACKOFF,
                layers,
                trouble.step() + 1,
                "%s; from now on%s %s in %s"
                        .formatted(left, time, String.join(", ", fallbacks), ActiveQuantizers.named(layers)));
    }

    private int goBack(Trouble trouble) {
        RunHistory then = checkpointer.orElseThrow().goBack(trouble.step(), state.get());
        int target = then.curve().size();
        recorder.goBack(then);
        listener.wentBack(then.curve(), then.evaluations(), then.telemetry());
        String rate = settings.rollbackRate() == 1 ? "" : ", the learning rate times " + settings.rollbackRate();
        tell(trouble.event(
                GuardAction.ROLLBACK,
                List.of(),
                target,
                ": back to step %d, and on with the data behind that step%s".formatted(target, rate)));
        return target;
    }
}
