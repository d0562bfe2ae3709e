package dev.nibble.testkit;

import dev.nibble.spi.AdamW;
import dev.nibble.spi.Control;
import dev.nibble.spi.Lion;
import dev.nibble.spi.Sgd;
import dev.nibble.spi.StableAdamW;
import dev.nibble.spi.UpdateRule;
import dev.nibble.tensor.Tensor;
import dev.nibble.testkit.data.Matrix;
import dev.nibble.testkit.data.SpecialValues;
import dev.nibble.testkit.run.Rig;
import java.util.ArrayList;
import java.util.List;

/** Every rule of the optimizer, and the averages of weights, bit for bit; a skipped step changes nothing. */
final class UpdateParity {
    private static final AdamW ADAM = new AdamW(0.9f, 0.95f, 1e-8f, 0.1f);
    private static final List<UpdateRule> RULES = List.of(
            ADAM,
            new StableAdamW(ADAM),
            new StableAdamW(new AdamW(0, 0.999f, 1e-3f, 0)),
            new Sgd(0, false, 0.1f),
            new Sgd(0.9f, false, 0.1f),
            new Sgd(0.7f, true, 0),
            new Lion(0.9f, 0.99f, 0.3f));

    private final NeuralCheck both;

    UpdateParity(Duel duel, boolean inOrder) {
        this.both = new NeuralCheck(duel, inOrder);
    }

    void updates() {
        for (UpdateRule rule : RULES) {
            for (int length : new int[] {1, 13, 127, 128, 129, 4095, 4096, 4097, 12_289}) {
                Matrix p = Matrix.normal(15, 1, length, 1);
                Matrix g = Matrix.normal(16, 1, length, 0.1);
                check(rule, p, g, 1f, 0);
                check(rule, p, g, 0.01f, 0); // a second moment that lags behind
                check(rule, p, g, 1f, 1);
            }
            Matrix special = SpecialValues.mixed(19, 7, 129);
            check(rule, special, Matrix.normal(17, 7, 129, 0.1), 1f, 0);
            check(rule, Matrix.normal(18, 7, 129, 1), special.map((_, _, v) -> Float.isFinite(v) ? v : -0f), 1f, 0);
        }
    }

    void averages() {
        for (float updates : new float[] {1, 7, 9_000, 1 << 24}) {
            check(0.999f, updates, 0, List.of(Matrix.normal(20, 3, 43, 1)));
        }
        List<Matrix> many = new ArrayList<>(List.of(SpecialValues.mixed(21, 7, 129)));
        for (int i = 0; i < 130; i++) { // more than a backend may take at once
            many.add(Matrix.normal(22 + i, 1, i % 9 == 8 ? 4096 + i : 1 + i, 1));
        }
        check(0.5f, 100, 0, many);
        check(0.9999f, 20_000, 0, many);
        check(0.5f, 100, 1, many);
    }

    private void check(float decay, float updates, float skipped, List<Matrix> values) {
        both.check(
                "averages of %d tensors after %s updates".formatted(values.size(), updates),
                rig -> {
                    List<Tensor> all = new ArrayList<>(List.of(rig.vector(control(updates, skipped))));
                    values.forEach(x -> all.add(rig.tensor(x)));
                    values.forEach(x ->
                            all.add(rig.tensor(x.map((row, col, v) -> (row + col) % 3 == 0 ? 1 - v : v / 2))));
                    return all;
                },
                (scope, in) -> {
                    List<Tensor> x = in.tensors().subList(1, 1 + values.size());
                    List<Tensor> a = in.tensors().subList(1 + values.size(), 1 + 2 * values.size());
                    in.rig()
                            .backend()
                            .optimizer()
                            .moveAverages(scope, a, x, decay, in.tensors().getFirst());
                    return in.tensors();
                },
                true);
    }

    private static float[] control(float updates, float skipped) {
        float[] control = new float[Control.count()]; // [Control.count()]
        control[Control.CLIP.ordinal()] = 0.3f;
        control[Control.SKIPPED.ordinal()] = skipped;
        control[Control.UPDATES.ordinal()] = updates;
        return control;
    }

    private void check(UpdateRule rule, Matrix p, Matrix g, float lag, float skipped) {
        both.check(
                "update of %d elements by %s".formatted(p.values().length, rule),
                rig -> arguments(rig, rule, p, g, lag, skipped),
                (scope, in) -> {
                    List<Tensor> all = in.tensors();
                    in.rig()
                            .backend()
                            .optimizer()
                            .update(
                                    scope,
                                    rule,
                                    p.values().length % 2 == 1,
                                    all.get(0),
                                    all.get(1),
                                    all.subList(3, all.size()),
                                    all.get(2));
                    return all;
                },
                true);
    }

    private static List<Tensor> arguments(Rig rig, UpdateRule rule, Matrix p, Matrix g, float lag, float skipped) {
        List<Tensor> all = new ArrayList<>(List.of(rig.tensor(p), rig.tensor(g), rig.vector(control(7, skipped))));
        List<Matrix> states = List.of(g.map((_, _, v) -> v / 2), g.map((_, _, v) -> v * v * lag));
        for (int i = 0; i < rule.states().size(); i++) {
            all.add(rig.tensor(states.get(i)));
        }
        return all;
    }
}
