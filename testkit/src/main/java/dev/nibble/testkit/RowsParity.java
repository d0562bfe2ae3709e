package dev.nibble.testkit;

import dev.nibble.spi.Gelu;
import dev.nibble.testkit.data.Matrix;
import dev.nibble.testkit.data.SpecialValues;
import java.util.List;

/** What an encoder with biases, layer normalization and GELU needs: within derived bounds of FP64, and bit for bit. */
final class RowsParity {
    private static final int[][] SHAPES = {{1, 1}, {13, 129}, {129, 13}, {64, 128}, {3, 702}, {127, 384}};

    private final NeuralCheck both;

    RowsParity(Duel duel, boolean inOrder) {
        this.both = new NeuralCheck(duel, inOrder);
    }

    void rows() {
        for (int[] shape : SHAPES) {
            Matrix x = Matrix.normal(21, shape[0], shape[1], 3).map((_, _, v) -> v + 5);
            Matrix vector = Matrix.normal(22, 1, shape[1], 1);
            String size = " of [%d, %d]".formatted(shape[0], shape[1]);
            both.check(
                    "centerRows" + size,
                    rig -> List.of(rig.tensor(x)),
                    (scope, in) -> List.of(in.neural().centerRows(scope, in.get(0))),
                    false,
                    RowsOracle.centered(x));
            both.check(
                    "addRowInPlace" + size,
                    rig -> List.of(rig.tensor(x), rig.vector(vector.values())),
                    (scope, in) -> {
                        in.neural().addRowInPlace(scope, in.get(0), in.get(1));
                        return List.of(in.get(0));
                    },
                    true,
                    RowsOracle.added(x, vector.values()));
            both.check(
                    "sumRows" + size,
                    rig -> List.of(rig.tensor(x), rig.vector(vector.values())),
                    (scope, in) -> {
                        in.neural().sumRows(scope, in.get(0), in.get(1));
                        return List.of(in.get(1));
                    },
                    false,
                    RowsOracle.sums(x, vector.values()));
        }
    }

    void gelu(Gelu form) {
        GeluOracle oracle = new GeluOracle(form);
        for (int[] shape : SHAPES) {
            Matrix x =
                    Matrix.normal(23, shape[0], shape[1], 3).map((row, col, v) -> (row + col) % 31 == 7 ? 30 * v : v);
            Matrix dy = Matrix.normal(24, shape[0], shape[1], 1);
            Matrix special = specialValues(shape[0], shape[1]);
            String size = " %s of [%d, %d]".formatted(form, shape[0], shape[1]);
            both.check(
                    "gelu" + size,
                    rig -> List.of(rig.tensor(x)),
                    (scope, in) -> List.of(in.neural().gelu(scope, in.get(0), form)),
                    false,
                    oracle.forward(x));
            both.check(
                    "geluBackward" + size,
                    rig -> List.of(rig.tensor(dy), rig.tensor(x)),
                    (scope, in) -> List.of(in.neural().geluBackward(scope, in.get(0), in.get(1), form)),
                    false,
                    oracle.backward(dy, x));
            both.check(
                    "gelu and its gradient of special values" + size,
                    rig -> List.of(rig.tensor(dy), rig.tensor(special)),
                    (scope, in) -> List.of(
                            in.neural().gelu(scope, in.get(1), form),
                            in.neural().geluBackward(scope, in.get(0), in.get(1), form)),
                    false);
        }
    }

    private static Matrix specialValues(int rows, int cols) {
        Matrix finite = SpecialValues.mixed(25, rows, cols).with(0, Float.NaN);
        return rows * cols < 3
                ? finite
                : finite.with(1, Float.POSITIVE_INFINITY).with(2, Float.NEGATIVE_INFINITY);
    }
}
