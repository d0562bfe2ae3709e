package dev.nibble.backend.cuda;

import dev.nibble.spi.AdamW;
import dev.nibble.spi.Control;
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

/** Bits of the control vector and of AdamW: many tensors, late updates, skipped steps. */
class CudaOptimizerTests {
    private static final AdamW ADAM = new AdamW(0.9f, 0.999f, 1e-8f, 0.1f);

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

    private void assertControl(String what, List<Matrix> gradients, float... before) {
        duel.assertSameOf(
                what,
                rig -> {
                    List<Tensor> tensors = new ArrayList<>(List.of(rig.vector(before)));
                    gradients.forEach(g -> tensors.add(rig.tensor(g)));
                    return tensors;
                },
                (backend, scope, in) -> {
                    backend.optimizer().control(scope, in.subList(1, in.size()), 0.5f, in.get(0));
                    return List.of(in.get(0));
                });
    }

    /** Chunks of tensors, and tensors, are added in order, over as many launches as it takes. */
    @Test
    void theNormOfManyGradientsHasTheBitsOfThePlainCode() {
        List<Matrix> gradients = new ArrayList<>();
        for (int i = 0; i < 300; i++) {
            gradients.add(Matrix.normal(i, 1 + i % 3, 1 + i * 37 % 9000, Math.pow(10, i % 7 - 3)));
        }
        for (int count : new int[] {1, 2, 119, 120, 121, 300}) {
            assertControl(count + " gradients", gradients.subList(0, count), 9, 9, 9, 41, 9);
        }
        assertControl("no gradient", List.of(), new float[Control.count()]);
        assertControl("a long one", List.of(Matrix.normal(1, 3001, 4097, 1)), new float[Control.count()]);
    }

    /** A norm that is not finite skips the step; the number of updates stays. */
    @ParameterizedTest
    @ValueSource(floats = {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY, 1e30f, Float.MIN_VALUE, 0f})
    void oneElementDecides(float value) {
        Matrix zeros = Matrix.zeros(70, 100);
        for (int place : new int[] {0, 15, 4095, 4096, 6999}) {
            assertControl(value + " at " + place, List.of(zeros, zeros.with(place, value)), 9, 9, 9, 41, 9);
        }
    }

    private static List<Tensor> state(Rig rig, int length, float clip, float skipped, float updates) {
        Matrix g = Matrix.normal(3, 1, length, 0.1);
        float[] control = new float[Control.count()]; // [Control.count()]
        control[Control.CLIP.ordinal()] = clip;
        control[Control.SKIPPED.ordinal()] = skipped;
        control[Control.UPDATES.ordinal()] = updates;
        return List.of(
                rig.tensor(Matrix.normal(2, 1, length, 1)),
                rig.tensor(g),
                rig.tensor(g.map((_, _, v) -> v / 2)),
                rig.tensor(g.map((_, _, v) -> v * v)),
                rig.vector(control));
    }

    private void assertUpdates(String what, AdamW spec, int length, float clip, float skipped, float updates) {
        for (boolean decay : new boolean[] {true, false}) {
            duel.assertSameOf(what, rig -> state(rig, length, clip, skipped, updates), (backend, scope, in) -> {
                backend.optimizer().adamW(scope, spec, decay, in.get(0), in.get(1), in.get(2), in.get(3), in.get(4));
                return in;
            });
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 4, 5, 127, 4095, 4096, 4097, 100_003})
    void updatesHaveTheBitsOfThePlainCode(int length) {
        assertUpdates("adamW of " + length, ADAM, length, 0.7f, 0, 1);
        assertUpdates("adamW of " + length + ", skipped", ADAM, length, 0.7f, 1, 1);
        assertUpdates("adamW of " + length + ", clip NaN", ADAM, length, Float.NaN, 0, 3);
    }

    /** The moments' corrections come from a table; behind its end they are 1. */
    @ParameterizedTest
    @ValueSource(floats = {1, 2, 3, 100, 337, 999, 17_000, 17_500, 40_000, 1e6f})
    void correctionsAreThoseOfTheHost(float updates) {
        assertUpdates("update " + updates, ADAM, 300, 1, 0, updates);
        assertUpdates("update " + updates, new AdamW(0, 0.95f, 1e-5f, 0), 300, 1, 0, updates);
    }

    /** Steps follow each other, one of them skipped. */
    @Test
    void aRunOfStepsHasTheBitsOfThePlainCode() {
        Matrix bad = Matrix.normal(3, 1, 5000, 0.1).with(4321, Float.NaN);
        duel.assertSameOf(
                "five steps",
                rig -> {
                    List<Tensor> tensors = new ArrayList<>(state(rig, 5000, 0, 0, 0));
                    tensors.add(rig.tensor(bad));
                    return tensors;
                },
                (backend, scope, in) -> {
                    for (int step = 0; step < 5; step++) {
                        Tensor gradient = step == 2 ? in.get(5) : in.get(1);
                        backend.optimizer().control(scope, List.of(gradient), 1, in.get(4));
                        backend.optimizer()
                                .adamW(scope, ADAM, true, in.get(0), gradient, in.get(2), in.get(3), in.get(4));
                    }
                    return in;
                });
    }
}
