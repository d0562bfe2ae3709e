package dev.nibble.backend.cuda;

import dev.nibble.spi.AdamW;
import dev.nibble.spi.Control;
import dev.nibble.spi.Lion;
import dev.nibble.spi.Sgd;
import dev.nibble.spi.StableAdamW;
import dev.nibble.spi.UpdateRule;
import dev.nibble.tensor.Tensor;
import dev.nibble.testkit.data.Matrix;
import dev.nibble.testkit.run.Rig;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Bits of SGD, Lion and StableAdamW: all lengths, late updates, NaN, skipped steps, runs of steps. */
class CudaUpdateRulesTests {
    private static final AdamW ADAM = new AdamW(0.9f, 0.999f, 1e-8f, 0.1f);
    private static final List<UpdateRule> RULES = List.of(
            new StableAdamW(ADAM),
            new StableAdamW(new AdamW(0, 0.95f, 1e-2f, 0)),
            new Sgd(0, false, 0.1f),
            new Sgd(0.9f, false, 0.1f),
            new Sgd(0.9f, true, 0),
            new Lion(0.9f, 0.99f, 0.3f));

    private NeuralDuel duel;

    @BeforeEach
    void open() {
        duel = new NeuralDuel();
    }

    @AfterEach
    void close() {
        if (duel != null) {
            duel.close();
        }
    }

    /** {@return parameter, gradient, control, and what the rule remembers; lag makes the second moment small} */
    private static List<Tensor> state(
            Rig rig, UpdateRule rule, Matrix g, float lag, float clip, float skipped, float updates) {
        float[] control = new float[Control.count()]; // [Control.count()]
        control[Control.CLIP.ordinal()] = clip;
        control[Control.SKIPPED.ordinal()] = skipped;
        control[Control.UPDATES.ordinal()] = updates;
        List<Tensor> all = new ArrayList<>(
                List.of(rig.tensor(Matrix.normal(2, 1, g.values().length, 1)), rig.tensor(g), rig.vector(control)));
        List<Matrix> states = List.of(g.map((_, _, v) -> v / 2), g.map((_, _, v) -> v * v * lag));
        for (int i = 0; i < rule.states().size(); i++) {
            all.add(rig.tensor(states.get(i)));
        }
        return all;
    }

    private void assertUpdates(String what, Matrix g, float lag, float clip, float skipped, float updates) {
        for (UpdateRule rule : RULES) {
            for (boolean decay : new boolean[] {true, false}) {
                duel.assertSameOf(
                        what + " by " + rule,
                        rig -> state(rig, rule, g, lag, clip, skipped, updates),
                        (backend, scope, in) -> {
                            backend.optimizer()
                                    .update(
                                            scope,
                                            rule,
                                            decay,
                                            in.get(0),
                                            in.get(1),
                                            in.subList(3, in.size()),
                                            in.get(2));
                            return in;
                        });
            }
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 15, 16, 17, 127, 4095, 4096, 4097, 100_003})
    void updatesHaveTheBitsOfThePlainCode(int length) {
        Matrix g = Matrix.normal(3, 1, length, 0.1);
        assertUpdates("update of " + length, g, 1, 0.7f, 0, 1);
        assertUpdates("shortened update of " + length, g, 1e-3f, 0.7f, 0, 900);
        assertUpdates("update of " + length + ", skipped", g, 1, 0.7f, 1, 1);
        assertUpdates("update of " + length + ", clip NaN", g, 1, Float.NaN, 0, 3);
    }

    /** More chunks than a tile of the sum has, more blocks than one pass of a grid. */
    @Test
    void longTensorsHaveTheBitsOfThePlainCode() {
        assertUpdates("a long update", Matrix.normal(4, 3001, 1401, 0.1), 1e-2f, 1, 0, 5);
    }

    @ParameterizedTest
    @ValueSource(floats = {0f, -0f, Float.MIN_VALUE, -1e-30f, 1e30f, Float.NaN, Float.POSITIVE_INFINITY})
    void oneElementOfAnyValueHasTheBitsOfThePlainCode(float value) {
        for (int place : new int[] {0, 15, 4096}) {
            assertUpdates(value + " at " + place, Matrix.zeros(1, 5000).with(place, value), 1, 1, 0, 2);
        }
    }

    @ParameterizedTest
    @ValueSource(floats = {1, 337, 17_000, 40_000, 1e6f})
    void correctionsAreThoseOfTheHost(float updates) {
        assertUpdates("update " + updates, Matrix.normal(3, 1, 300, 0.1), 1e-2f, 1, 0, updates);
    }

    /** Steps follow each other, one of them skipped. */
    @Test
    void aRunOfStepsHasTheBitsOfThePlainCode() {
        Matrix good = Matrix.normal(3, 1, 5000, 0.1);
        Matrix bad = good.with(4321, Float.NaN);
        for (UpdateRule rule : RULES) {
            duel.assertSameOf(
                    "six steps by " + rule,
                    rig -> {
                        List<Tensor> tensors = new ArrayList<>(state(rig, rule, good, 0, 0, 0, 0));
                        tensors.add(rig.tensor(bad));
                        return tensors;
                    },
                    (backend, scope, in) -> {
                        for (int step = 0; step < 6; step++) {
                            Tensor gradient = step == 2 ? in.getLast() : in.get(1);
                            backend.optimizer().control(scope, List.of(gradient), 1, in.get(2));
                            backend.optimizer()
                                    .update(
                                            scope,
                                            rule,
                                            true,
                                            in.get(0),
                                            gradient,
                                            in.subList(3, in.size() - 1),
                                            in.get(2));
                        }
                        return in;
                    });
        }
    }
}
