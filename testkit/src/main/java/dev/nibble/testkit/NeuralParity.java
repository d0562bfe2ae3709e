package dev.nibble.testkit;

import dev.nibble.spi.AdamW;
import dev.nibble.spi.AttentionShape;
import dev.nibble.spi.BlockCopy;
import dev.nibble.spi.Control;
import dev.nibble.spi.NeuralOps;
import dev.nibble.tensor.Tensor;
import dev.nibble.testkit.data.Matrix;
import dev.nibble.testkit.data.SpecialValues;
import dev.nibble.testkit.run.Rig;
import java.util.Arrays;
import java.util.List;

/** Operations between the products: within derived bounds of FP64, and bit for bit where that is specified. */
final class NeuralParity {
    private static final int[][] SHAPES = {{1, 1}, {13, 129}, {129, 13}, {64, 128}, {3, 702}};
    private static final float EPSILON = 1e-5f;
    private static final List<AttentionShape> ATTENTIONS = List.of(
            new AttentionShape(1, 1, 1, 2, true),
            new AttentionShape(2, 13, 3, 8, true),
            new AttentionShape(2, 13, 3, 8, false),
            new AttentionShape(1, 129, 1, 16, true),
            new AttentionShape(1, 33, 2, 64, false));

    private final NeuralCheck both;

    NeuralParity(Duel duel, boolean inOrder) {
        this.both = new NeuralCheck(duel, inOrder);
    }

    private static Tensor vector(Rig rig, Matrix x) {
        return rig.vector(x.values());
    }

    void norms() {
        for (int[] shape : SHAPES) {
            Matrix x = Matrix.normal(1, shape[0], shape[1], 2);
            Matrix dy = Matrix.normal(2, shape[0], shape[1], 1);
            Matrix weight = Matrix.normal(3, 1, shape[1], 1);
            Matrix before = Matrix.normal(4, 1, shape[1], 1);
            List<float[]> forward = both.check(
                    "rmsNorm of [%d, %d]".formatted(shape[0], shape[1]),
                    rig -> List.of(rig.tensor(x), vector(rig, weight)),
                    (scope, in) -> {
                        NeuralOps.Saved saved = in.neural().rmsNorm(scope, in.get(0), in.get(1), EPSILON);
                        return List.of(saved.output(), saved.saved());
                    },
                    false,
                    NeuralOracle.rmsNorm(x, weight.values(), EPSILON));
            float[] r = forward.get(1); // [rows]
            both.check(
                    "rmsNormBackward of [%d, %d]".formatted(shape[0], shape[1]),
                    rig -> List.of(
                            rig.tensor(dy), rig.tensor(x), rig.vector(r), vector(rig, weight), vector(rig, before)),
                    (scope, in) -> List.of(
                            in.neural().rmsNormBackward(scope, in.get(0), in.get(1), in.get(2), in.get(3), in.get(4)),
                            in.get(4)),
                    false,
                    NeuralOracle.rmsNormBackward(dy, x, r, weight.values(), before.values()));
        }
    }

    void activations() {
        for (int[] shape : SHAPES) {
            Matrix gateUp = Matrix.normal(5, shape[0], 2 * shape[1], 4)
                    .map((row, col, v) -> (row + col) % 31 == 7 ? 30 * v : v);
            Matrix dh = Matrix.normal(6, shape[0], shape[1], 1);
            String size = " of [%d, %d]".formatted(shape[0], shape[1]);
            both.check(
                    "swiGlu" + size,
                    rig -> List.of(rig.tensor(gateUp)),
                    (scope, in) -> List.of(in.neural().swiGlu(scope, in.get(0))),
                    false,
                    NeuralOracle.swiGlu(gateUp));
            both.check(
                    "swiGluBackward" + size,
                    rig -> List.of(rig.tensor(dh), rig.tensor(gateUp)),
                    (scope, in) -> List.of(in.neural().swiGluBackward(scope, in.get(0), in.get(1))),
                    false,
                    NeuralOracle.swiGluBackward(dh, gateUp));
            Matrix special = SpecialValues.mixed(7, shape[0], shape[1]).with(0, Float.NaN);
            both.check(
                    "relu" + size,
                    rig -> List.of(rig.tensor(special)),
                    (scope, in) -> List.of(in.neural().relu(scope, in.get(0))),
                    true);
            both.check(
                    "reluBackward" + size,
                    rig -> List.of(rig.tensor(dh), rig.tensor(special)),
                    (scope, in) -> List.of(in.neural().reluBackward(scope, in.get(0), in.get(1))),
                    true);
        }
    }

    void attention() {
        for (AttentionShape shape : ATTENTIONS) {
            int rows = (int) shape.tokens();
            Matrix qkv = Matrix.normal(8, rows, 3 * shape.width(), 1);
            Matrix dy = Matrix.normal(9, rows, shape.width(), 1);
            AttentionOracle oracle = new AttentionOracle(shape, qkv);
            for (boolean inverse : new boolean[] {false, true}) {
                both.check(
                        "rotateInPlace " + shape,
                        rig -> List.of(rig.tensor(qkv)),
                        (scope, in) -> {
                            in.neural().rotateInPlace(scope, in.get(0), shape, 10000, inverse);
                            return in.tensors();
                        },
                        false,
                        oracle.rotated(10000, inverse));
            }
            List<float[]> forward = both.check(
                    "attention " + shape,
                    rig -> List.of(rig.tensor(qkv)),
                    (scope, in) -> {
                        NeuralOps.Saved saved = in.neural().attention(scope, in.get(0), shape);
                        return List.of(saved.output(), saved.saved());
                    },
                    false,
                    oracle.forward());
            Matrix out = new Matrix(forward.get(0), rows, shape.width());
            both.check(
                    "attentionBackward " + shape,
                    rig -> List.of(rig.tensor(dy), rig.tensor(qkv), rig.tensor(out), rig.vector(forward.get(1))),
                    (scope, in) -> List.of(in.neural()
                            .attentionBackward(
                                    scope, in.get(0), in.get(1), new NeuralOps.Saved(in.get(2), in.get(3)), shape)),
                    false,
                    oracle.backward(dy, out, forward.get(1)));
        }
    }

    void losses() {
        for (int[] shape : SHAPES) {
            Matrix logits = Matrix.normal(10, shape[0], shape[1], 3);
            int[] targets = new int[shape[0]]; // [rows]
            Arrays.setAll(targets, row -> row * 7 % shape[1]);
            String size = " of [%d, %d]".formatted(shape[0], shape[1]);
            Expected[] expected = NeuralOracle.crossEntropy(logits, targets, 0, 0.25f, 0.5f);
            for (boolean gradient : new boolean[] {true, false}) {
                both.check(
                        "crossEntropy" + size,
                        rig -> List.of(rig.tensor(logits), rig.ints(targets), rig.vector(0.25f)),
                        (scope, in) -> {
                            in.neural().crossEntropy(scope, in.get(0), in.get(1), in.get(2), 0.5f, gradient);
                            return List.of(in.get(0), in.get(2));
                        },
                        false,
                        gradient ? expected[0] : new Expected(logits.wide(), new double[logits.values().length]),
                        expected[1]);
            }
            partOfTheLoss(logits, 70);
            Matrix ties = logits.map((row, col, v) -> row % 5 == 4 && col == 0 ? Float.NaN : Math.round(v));
            both.check(
                    "countCorrect" + size,
                    rig -> List.of(rig.tensor(ties), rig.ints(targets), rig.vector(3)),
                    (scope, in) -> {
                        in.neural().countCorrect(scope, in.get(0), in.get(1), in.get(2));
                        return List.of(in.get(2));
                    },
                    true);
        }
    }

    /** The logits are those of some tokens: others have gone before, and come after. */
    private void partOfTheLoss(Matrix logits, int first) {
        int[] targets = new int[first + logits.rows() + 5]; // [tokens]
        Arrays.setAll(targets, token -> token * 5 % logits.cols());
        Expected[] expected = NeuralOracle.crossEntropy(logits, targets, first, 0.25f, 0.5f);
        for (boolean gradient : new boolean[] {true, false}) {
            both.check(
                    "crossEntropy of [%d, %d] of %d tokens".formatted(logits.rows(), logits.cols(), targets.length),
                    rig -> List.of(rig.tensor(logits), rig.ints(targets), rig.vector(0.25f)),
                    (scope, in) -> {
                        in.neural().crossEntropy(scope, in.get(0), in.get(1), first, in.get(2), 0.5f, gradient);
                        return List.of(in.get(0), in.get(2));
                    },
                    false,
                    gradient ? expected[0] : new Expected(logits.wide(), new double[logits.values().length]),
                    expected[1]);
        }
    }

    void movements() {
        for (int[] shape : SHAPES) {
            Matrix x = SpecialValues.mixed(11, shape[0], shape[1]);
            Matrix table = Matrix.normal(12, 5, shape[1], 1);
            int[] ids = new int[shape[0]]; // [rows]
            Arrays.setAll(ids, row -> row * row % 5);
            String size = " of [%d, %d]".formatted(shape[0], shape[1]);
            both.check(
                    "zero" + size,
                    rig -> List.of(rig.tensor(x)),
                    (scope, in) -> {
                        in.neural().zero(scope, in.get(0));
                        return in.tensors();
                    },
                    true,
                    Expected.zeros(x.values().length));
            both.check(
                    "addInPlace" + size,
                    rig -> List.of(rig.tensor(x), rig.tensor(x.map((_, _, v) -> v / 3))),
                    (scope, in) -> {
                        in.neural().addInPlace(scope, in.get(0), in.get(1));
                        return in.tensors();
                    },
                    true);
            both.check(
                    "embedding" + size,
                    rig -> List.of(rig.ints(ids), rig.tensor(table)),
                    (scope, in) -> List.of(in.neural().embedding(scope, in.get(0), in.get(1))),
                    true);
            both.check(
                    "embeddingBackward" + size,
                    rig -> List.of(
                            rig.ints(ids), rig.tensor(Matrix.normal(13, shape[0], shape[1], 1)), rig.tensor(table)),
                    (scope, in) -> {
                        in.neural().embeddingBackward(scope, in.get(0), in.get(1), in.get(2));
                        return List.of(in.get(2));
                    },
                    true);
            means(shape);
            copies(shape);
        }
    }

    /** A block from the middle of x into a larger matrix, as it is and transposed: special values keep their bits. */
    private void copies(int[] shape) {
        Matrix x = SpecialValues.mixed(18, shape[0] + 2, shape[1] + 3);
        for (boolean transposed : new boolean[] {false, true}) {
            BlockCopy copy = new BlockCopy(shape[0], shape[1], 1, 2, 3, 1, transposed);
            Matrix target = Matrix.normal(19, copy.targetRows() + 4, copy.targetCols() + 1, 1);
            both.check(
                    "copyBlock " + copy,
                    rig -> List.of(rig.tensor(x), rig.tensor(target)),
                    (scope, in) -> {
                        in.neural().copyBlock(scope, in.get(0), in.get(1), copy);
                        return in.tensors();
                    },
                    true);
        }
    }

    /** Rows of one sequence and of three; what the mask hides is NaN, and nobody notices. */
    void softmaxes() {
        for (int[] shape : new int[][] {{1, 1}, {13, 13}, {39, 13}, {129, 129}, {5, 64}, {3, 702}}) {
            for (boolean causal : new boolean[] {false, true}) {
                if (causal && shape[0] % shape[1] != 0) {
                    continue;
                }
                Matrix scores = hidden(Matrix.normal(20, shape[0], shape[1], 20), causal);
                Matrix gradient = hidden(Matrix.normal(21, shape[0], shape[1], 1), causal);
                String what = " of [%d, %d]%s".formatted(shape[0], shape[1], causal ? ", causal" : "");
                Matrix p = new Matrix(
                        both.check(
                                        "softmax" + what,
                                        rig -> List.of(rig.tensor(scores)),
                                        (scope, in) -> List.of(in.neural().softmax(scope, in.get(0), 0.3f, causal)),
                                        false,
                                        SoftmaxOracle.forward(scores, 0.3f, causal))
                                .getFirst(),
                        shape[0],
                        shape[1]);
                both.check(
                        "softmaxBackward" + what,
                        rig -> List.of(rig.tensor(gradient), rig.tensor(p)),
                        (scope, in) -> List.of(in.neural().softmaxBackward(scope, in.get(0), in.get(1), 0.3f, causal)),
                        false,
                        SoftmaxOracle.backward(gradient, p, 0.3f, causal));
            }
        }
    }

    private static Matrix hidden(Matrix x, boolean causal) {
        return x.map((row, col, v) -> causal && col > row % x.cols() ? Float.NaN : v);
    }

    private void means(int[] shape) {
        int group = shape[0] % 3 == 0 ? 3 : 1;
        Matrix x = Matrix.normal(14, shape[0], shape[1], 1);
        String size = " of [%d, %d] by %d".formatted(shape[0], shape[1], group);
        both.check(
                "meanRows" + size,
                rig -> List.of(rig.tensor(x)),
                (scope, in) -> List.of(in.neural().meanRows(scope, in.get(0), group)),
                false,
                NeuralOracle.meanRows(x, group));
        both.check(
                "meanRowsBackward" + size,
                rig -> List.of(rig.tensor(x)),
                (scope, in) -> List.of(in.neural().meanRowsBackward(scope, in.get(0), 3)),
                false,
                NeuralOracle.meanRowsBackward(x, 3));
    }

    void optimizer() {
        for (int length : new int[] {1, 13, 129, 4097}) {
            Matrix p = Matrix.normal(15, 1, length, 1);
            Matrix g = Matrix.normal(16, 1, length, 0.1);
            both.check(
                    "control of %d gradients".formatted(length),
                    rig -> List.of(rig.tensor(g), rig.tensor(p), rig.vector(new float[Control.count()])),
                    (scope, in) -> {
                        in.rig()
                                .backend()
                                .optimizer()
                                .control(scope, in.tensors().subList(0, 2), 0.5f, in.get(2));
                        return List.of(in.get(2));
                    },
                    false,
                    control(g, p, 0.5f));
            for (float skipped : new float[] {0, 1}) {
                both.check(
                        "adamW of %d elements".formatted(length),
                        rig -> adamArguments(rig, p, g, skipped),
                        (scope, in) -> {
                            in.rig()
                                    .backend()
                                    .optimizer()
                                    .adamW(
                                            scope,
                                            new AdamW(0.9f, 0.95f, 1e-8f, 0.1f),
                                            length % 2 == 1,
                                            in.get(0),
                                            in.get(1),
                                            in.get(2),
                                            in.get(3),
                                            in.get(4));
                            return in.tensors();
                        },
                        true);
            }
        }
    }

    private static List<Tensor> adamArguments(Rig rig, Matrix p, Matrix g, float skipped) {
        float[] control = new float[Control.count()]; // [Control.count()]
        control[Control.CLIP.ordinal()] = 0.3f;
        control[Control.SKIPPED.ordinal()] = skipped;
        control[Control.UPDATES.ordinal()] = 7;
        return List.of(
                rig.tensor(p),
                rig.tensor(g),
                rig.tensor(g.map((_, _, v) -> v / 2)),
                rig.tensor(g.map((_, _, v) -> v * v)),
                rig.vector(control));
    }

    /** The norm is a sum of squares in FP64, of which only the root is rounded. */
    private static Expected control(Matrix first, Matrix second, float maxNorm) {
        List<Matrix> all = List.of(first, second);
        double squares = 0;
        for (Matrix matrix : all) {
            for (float value : matrix.values()) {
                squares += (double) value * value;
            }
        }
        double norm = Math.sqrt(squares);
        Expected expected = Expected.zeros(Control.count());
        expected.value()[Control.GRADIENT_NORM.ordinal()] = norm;
        expected.bound()[Control.GRADIENT_NORM.ordinal()] = 2 * Expected.U * norm;
        expected.value()[Control.CLIP.ordinal()] = Math.min(1, maxNorm / norm);
        expected.bound()[Control.CLIP.ordinal()] = 4 * Expected.U;
        expected.value()[Control.UPDATES.ordinal()] = 1;
        expected.value()[Control.LEARNING_RATE.ordinal()] = 0.01f;
        return expected;
    }
}
