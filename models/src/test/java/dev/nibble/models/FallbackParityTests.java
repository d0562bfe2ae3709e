package dev.nibble.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.stream.Collectors;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** {@code int8-fallback} trains to the same bits on the plain code and on the processor's vectors. */
class FallbackParityTests {
    private static RunResult run(String options, String backend) {
        RunConfig config = RunFixture.tiny()
                .withQuantizer(QuantizerChoice.parse("int8-fallback:block=16," + options))
                .withBackend(backend)
                .with("model.width", "36") // ragged blocks
                .with("model.hidden", "130") // and a ragged group of packed context
                .with("train.microBatches", "2")
                .with("train.telemetryEvery", "1")
                .withSteps(3);
        RunResult result = Runs.create().train(config, RunListener.SILENT);
        assertEquals(RunResult.Status.COMPLETED, result.status(), result.message());
        return result;
    }

    /** {@return losses, norms, and what each layer's input and state were, with all digits} */
    private static List<String> trace(RunResult result) {
        List<String> trace = result.curve().stream()
                .map(step -> step.loss() + " " + step.gradientNorm())
                .collect(Collectors.toList());
        result.telemetry().forEach(row -> trace.add(row.toString()));
        trace.add(String.valueOf(result.finalValidationLoss()));
        return trace;
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "threshold=off",
                "threshold=all",
                "threshold=delayed",
                "threshold=exact,contextBits=12",
                "threshold=capped,contextBits=8",
                "threshold=delayed,residualInGradWeight=true,contextBits=16",
                "criterion=l1,contextBits=32",
                "criterion=l1-rel,threshold=capped",
                "fallbackLayers=down"
            })
    void referenceAndProcessorAgreeToTheLastBit(String options) {
        RunResult plain = run(options, "reference");
        RunResult fast = run(options, "cpu");
        assertEquals(trace(plain), trace(fast));
        assertEquals(plain.savedActivationBytes(), fast.savedActivationBytes());
        List<Double> rates = fast.telemetry().stream()
                .filter(row -> !row.layer().equals("head"))
                .map(LayerTelemetry::fallbackRate)
                .toList();
        boolean all = rates.stream().allMatch(rate -> rate == 1);
        boolean none = rates.stream().allMatch(rate -> rate == 0);
        assertEquals(options.equals("threshold=all"), all, rates.toString());
        assertEquals(options.equals("threshold=off"), none, rates.toString());
        assertTrue(!rates.isEmpty());
    }
}
