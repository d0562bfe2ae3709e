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

/** Every rule of the optimizer, bit for bit; a skipped step changes nothing. */
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
        float[] control = new float[Control.count()]; // [Control.count()]
        control[Control.CLIP.ordinal()] = 0.3f;
        control[Control.SKIPPED.ordinal()] = skipped;
        control[Control.UPDATES.ordinal()] = 7;
        List<Tensor> all = new ArrayList<>(List.of(rig.tensor(p), rig.tensor(g), rig.vector(control)));
        List<Matrix> states = List.of(g.map((_, _, v) -> v / 2), g.map((_, _, v) -> v * v * lag));
        for (int i = 0; i < rule.states().size(); i++) {
            all.add(rig.tensor(states.get(i)));
        }
        return all;
    }
}
