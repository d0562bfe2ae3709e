package dev.nibble.models.layers;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.quant.Statistic;
import dev.nibble.spi.Control;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.PlanRequest;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class QuantizedLinearTests {
    private static final int TOKENS = 13;
    private static final int IN = 7;
    private static final int OUT = 5;

    private final LayerFixture fixture = new LayerFixture(3);
    private final Parameter weight = fixture.weight("w", OUT, IN);
    private final StepCounting counting = new StepCounting();
    private final QuantizedLinear layer =
            new QuantizedLinear(fixture.backend, new LinearLayer(new Site("layer", 2), IN, OUT), counting, weight);
    private final float[] xValues = fixture.uniform((long) TOKENS * IN, 1);
    private final Tensor x = fixture.tensor(Shape.of(TOKENS, IN), xValues);
    private final Tensor gradOutput = fixture.tensor(Shape.of(TOKENS, OUT), fixture.uniform((long) TOKENS * OUT, 1));

    @AfterEach
    void close() {
        fixture.close();
    }

    private float state(String name) {
        return fixture.backend.readFloats(layer.state().get(name))[0];
    }

    private void pass(StepContext context) {
        try (StepScope scope = fixture.backend.beginStep(context);
                Tensor y = layer.forward(scope, x)) {
            assertEquals(Shape.of(TOKENS, OUT), y.shape());
            if (context.training()) {
                layer.backward(scope, gradOutput).close();
            }
        }
    }

    private void optimizerRan(boolean skipped) {
        float[] control = new float[Control.count()];
        control[Control.SKIPPED.ordinal()] = skipped ? 1 : 0;
        try (Tensor tensor = fixture.tensor(Shape.of(control.length), control);
                StepScope scope = fixture.backend.beginStep(StepContext.train(0, 0.1f))) {
            layer.releaseWeight();
            layer.afterOptimizer(scope, tensor);
        }
    }

    @Test
    void stateGathersInEveryMicroBatchAndAdvancesOnceAStep() {
        pass(new StepContext(0, 0, StepContext.Mode.TRAIN, 0.1f));
        pass(new StepContext(0, 1, StepContext.Mode.TRAIN, 0.1f));
        optimizerRan(false);
        assertEquals(2, state(StepCounting.FORWARDS));
        assertEquals(1, state(StepCounting.UPDATES));
        float largest = 0;
        for (float value : xValues) {
            largest = Math.max(largest, Math.abs(value));
        }
        assertEquals(largest, state(StepCounting.LARGEST));
        optimizerRan(true);
        assertEquals(1, state(StepCounting.UPDATES));
    }

    @Test
    void evaluationFreezesStateAndKeepsNothing() {
        pass(StepContext.eval(0));
        assertEquals(0, state(StepCounting.FORWARDS));
        assertEquals(0, fixture.backend.memory().live(MemoryTag.CONTEXT));
        try (StepScope scope = fixture.backend.beginStep(StepContext.train(0, 0.1f))) {
            assertThrows(IllegalStateException.class, () -> layer.backward(scope, gradOutput));
        }
    }

    @Test
    void planIsFreshUntilAStepHasTrained() {
        pass(StepContext.train(0, 0.1f));
        pass(StepContext.eval(0));
        layer.markTrained();
        pass(StepContext.train(1, 0.1f));
        pass(StepContext.train(2, 0.1f));
        // each plan is asked for once
        assertEquals(List.of(new PlanRequest(TOKENS, true), new PlanRequest(TOKENS, false)), counting.requests());
    }

    @Test
    void gradientsAddUpOverPasses() {
        pass(new StepContext(0, 0, StepContext.Mode.TRAIN, 0.1f));
        float[] once = fixture.gradient(weight);
        pass(new StepContext(0, 1, StepContext.Mode.TRAIN, 0.1f));
        float[] twice = fixture.gradient(weight);
        for (int i = 0; i < once.length; i++) {
            assertEquals(2 * once[i], twice[i]); // the same sum added to itself: exact
        }
    }

    @Test
    void weightIsQuantizedOnceAndAnewAfterARelease() {
        try (QuantizedLinear bf16 = fixture.linear("rounded", weight, "bf16")) {
            float[] first = forward(bf16);
            fixture.backend.write(weight.value(), new float[OUT * IN]);
            assertArrayEquals(first, forward(bf16)); // still the operand of the old weight
            bf16.releaseWeight();
            assertArrayEquals(new float[TOKENS * OUT], forward(bf16));
            bf16.releaseWeight();
        }
        assertEquals(0, fixture.backend.memory().live(MemoryTag.SCRATCH));
    }

    private float[] forward(QuantizedLinear linear) {
        Tensor y;
        try (StepScope scope = fixture.backend.beginStep(StepContext.eval(0))) {
            y = linear.forward(scope, x).share();
        }
        try (y) {
            return fixture.backend.readFloats(y);
        }
    }

    @Test
    void statisticsAreNotedOnlyWhenObserved() {
        pass(StepContext.train(0, 0.1f));
        assertArrayEquals(new float[Statistic.count()], fixture.backend.readFloats(layer.statistics()));
        layer.observe(true);
        pass(StepContext.train(1, 0.1f));
        layer.observe(false);
        assertEquals(
                state(StepCounting.LARGEST), fixture.backend.readFloats(layer.statistics())[Statistic.AMAX.ordinal()]);
    }

    @Test
    void onlyTheOperandOfTheWeightGradientIsKept() {
        try (QuantizedLinear bf16 = fixture.linear("rounded", weight, "bf16");
                StepScope scope = fixture.backend.beginStep(StepContext.train(0, 0.1f));
                Tensor y = bf16.forward(scope, x)) {
            assertEquals(2L * TOKENS * IN, fixture.backend.memory().live(MemoryTag.CONTEXT));
            bf16.backward(scope, gradOutput).close();
            assertEquals(0, fixture.backend.memory().live(MemoryTag.CONTEXT));
            assertTrue(y.shape().elements() > 0);
        }
    }

    @Test
    void closingFreesWhatAnUnfinishedStepKept() {
        QuantizedLinear unfinished = fixture.linear("unfinished", weight, "bf16");
        try (StepScope scope = fixture.backend.beginStep(StepContext.train(0, 0.1f))) {
            unfinished.forward(scope, x).close();
        }
        assertTrue(fixture.backend.memory().live(MemoryTag.CONTEXT) > 0);
        unfinished.close();
        assertEquals(0, fixture.backend.memory().live(MemoryTag.CONTEXT));
        assertEquals(0, fixture.backend.memory().live(MemoryTag.SCRATCH));
    }

    @Test
    void weightOfAnotherShapeIsRefusedWithBothShapes() {
        IllegalArgumentException e = assertThrows(
                IllegalArgumentException.class,
                () -> new QuantizedLinear(
                        fixture.backend, new LinearLayer(new Site("layer", 2), OUT, IN), counting, weight));
        assertEquals("weight w of layer layer is [5, 7], but must be [7, 5]", e.getMessage());
    }
}
