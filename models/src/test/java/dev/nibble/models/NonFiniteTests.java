package dev.nibble.models;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.models.layers.Parameter;
import dev.nibble.models.train.Workload;
import dev.nibble.spi.Backend;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;

class NonFiniteTests {
    private static Parameter parameter(Workload workload, String name) {
        return workload.parameters().stream()
                .filter(p -> p.name().equals(name))
                .findFirst()
                .orElseThrow();
    }

    /** Puts a value into the first element of a weight before a step. */
    private static RunFixture.Disturbed poison(String weight, int atStep, float value) {
        return new RunFixture.Disturbed((backend, workload, step) -> {
            if (step == atStep) {
                set(backend, parameter(workload, weight), value);
            }
        });
    }

    private static void set(Backend backend, Parameter parameter, float value) {
        float[] values = backend.readFloats(parameter.value());
        values[0] = value;
        backend.write(parameter.value(), values);
    }

    @Test
    void stopNamesLayerOperandAndStep() {
        RunResult result = RunFixture.runs(poison("blocks.0.mlp.down.weight", 2, Float.NaN))
                .train(RunFixture.Disturbed.config(), RunListener.SILENT);
        assertEquals(RunResult.Status.STOPPED, result.status());
        assertTrue(
                result.message().startsWith("blocks.0.mlp.down: weight holds NaN or infinity at step 2, but"),
                result.message());
        assertEquals(3, result.steps());
        assertTrue(result.curve().getLast().skipped());
        assertFalse(result.curve().get(1).skipped());
    }

    @Test
    void overflowInTheLossIsBlamedOnTheGradientOfTheHead() {
        RunFixture.Disturbed module = new RunFixture.Disturbed((backend, workload, step) -> {
            if (step == 1) { // finite weights; their sums with the norm's output overflow
                Parameter head = parameter(workload, "head.weight");
                float[] values = backend.readFloats(head.value());
                Arrays.fill(values, Float.MAX_VALUE);
                backend.write(head.value(), values);
            }
        });
        RunResult result = RunFixture.runs(module).train(RunFixture.Disturbed.config(), RunListener.SILENT);
        assertEquals(RunResult.Status.STOPPED, result.status());
        assertTrue(result.message().startsWith("head: gradOutput holds NaN or infinity at step 1"), result.message());
    }

    @Test
    void skipGoesOnAndLeavesEveryWeightAlone() {
        Map<String, float[]> before = new HashMap<>();
        Map<String, float[]> after = new HashMap<>();
        RunFixture.Disturbed module = new RunFixture.Disturbed(new RunFixture.Disturbance() {
            @Override
            public void before(Backend backend, Workload workload, int step) {
                if (step == 2) {
                    set(backend, parameter(workload, "blocks.0.attn.qkv.weight"), Float.POSITIVE_INFINITY);
                    workload.parameters().forEach(p -> before.put(p.name(), backend.readFloats(p.value())));
                }
            }

            @Override
            public void atEnd(Backend backend, Workload workload) {
                workload.parameters().forEach(p -> after.put(p.name(), backend.readFloats(p.value())));
            }
        });
        RunResult result = RunFixture.runs(module)
                .train(RunFixture.Disturbed.config().withNonFinite(NonFinitePolicy.SKIP), RunListener.SILENT);
        assertEquals(RunResult.Status.COMPLETED, result.status(), result.message());
        assertEquals(4, result.steps());
        assertEquals(2, result.skippedSteps());
        before.forEach((name, values) -> assertArrayEquals(values, after.get(name), name));
    }

    @Test
    void oneBadStepIsSkippedAndTheNextOnesCount() {
        float[] good = new float[1];
        RunFixture.Disturbed module = new RunFixture.Disturbed((backend, workload, step) -> {
            Parameter weight = parameter(workload, "blocks.0.attn.out.weight");
            if (step == 1) {
                good[0] = backend.readFloats(weight.value())[0];
                set(backend, weight, Float.NaN);
            } else if (step == 2) {
                set(backend, weight, good[0]);
            }
        });
        RunResult result = RunFixture.runs(module)
                .train(RunFixture.Disturbed.config().withNonFinite(NonFinitePolicy.SKIP), RunListener.SILENT);
        assertEquals(1, result.skippedSteps());
        assertTrue(result.curve().get(1).skipped());
        assertTrue(Double.isFinite(result.finalValidationLoss()));
        assertTrue(result.curve().get(3).loss() < result.curve().get(0).loss());
    }
}
