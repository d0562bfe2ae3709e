package dev.nibble.testkit;

import dev.nibble.spi.AttentionShape;
import dev.nibble.spi.KeyValueShape;
import dev.nibble.spi.NeuralOps;
import dev.nibble.tensor.Tensor;
import dev.nibble.testkit.data.Matrix;
import dev.nibble.testkit.run.Rig;
import java.util.Arrays;
import java.util.List;

/** Attention of tokens that follow those of a cache: the rows of whole sequences, from a cache that is NaN where nothing was put. */
final class CachedAttentionParity {
    private static final List<KeyValueShape> SHAPES = List.of(
            new KeyValueShape(1, 1, 1, 2, 10000),
            new KeyValueShape(2, 16, 3, 8, 0),
            new KeyValueShape(3, 13, 2, 6, 10000),
            new KeyValueShape(1, 129, 2, 64, 10000),
            new KeyValueShape(2, 40, 1, 128, 10000));

    private final NeuralCheck both;

    CachedAttentionParity(Duel duel, boolean inOrder) {
        this.both = new NeuralCheck(duel, inOrder);
    }

    void sequences() {
        for (KeyValueShape shape : SHAPES) {
            int length = shape.capacity() > 1 ? shape.capacity() - 1 : 1; // the last position stays empty
            AttentionShape whole = new AttentionShape(shape.batch(), length, shape.heads(), shape.headSize());
            Matrix qkv = Matrix.normal(30, (int) whole.tokens(), 3 * whole.width(), 1);
            Expected expected = new AttentionOracle(whole, turned(qkv, whole, shape)).forward()[0];
            follow(shape, whole, qkv, expected, length); // all at once
            if (length > 1) {
                follow(shape, whole, qkv, expected, (length + 1) / 2);
                follow(shape, whole, qkv, expected, length - 1); // then one row
            }
        }
    }

    /** {@return q and k turned by the backend under test, whose own bounds another check has} */
    private Matrix turned(Matrix qkv, AttentionShape whole, KeyValueShape shape) {
        if (shape.rotaryBase() == 0) {
            return qkv;
        }
        float[] values = both.check(
                        "rotateInPlace " + whole,
                        rig -> List.of(rig.tensor(qkv)),
                        (scope, in) -> {
                            in.neural().rotateInPlace(scope, in.get(0), whole, shape.rotaryBase(), false);
                            return in.tensors();
                        },
                        false)
                .getFirst();
        return new Matrix(values, qkv.rows(), qkv.cols());
    }

    /** The first rows of each sequence together, and then the others. */
    private void follow(KeyValueShape shape, AttentionShape whole, Matrix qkv, Expected expected, int first) {
        int length = whole.sequence();
        Expected[] parts = first == length
                ? new Expected[] {expected}
                : new Expected[] {rows(expected, whole, 0, first), rows(expected, whole, first, length)};
        both.check(
                "cachedAttention of %d rows, then %d, %s".formatted(first, length - first, shape),
                rig -> {
                    int rows = 2 * shape.batch() * shape.heads();
                    int cols = shape.capacity() * shape.headSize();
                    float[] empty = new float[rows * cols]; // KeyValueShape.cache
                    Arrays.fill(empty, Float.NaN);
                    return List.of(
                            rig.tensor(new Matrix(empty, rows, cols)),
                            rig.tensor(part(qkv, whole, 0, first)),
                            places(rig, whole, 0, first),
                            rig.tensor(part(qkv, whole, first == length ? 0 : first, length)),
                            places(rig, whole, first == length ? 0 : first, length));
                },
                (scope, in) -> {
                    NeuralOps neural = in.neural();
                    Tensor begin = neural.cachedAttention(scope, in.get(1), in.get(2), in.get(0), shape);
                    return first == length
                            ? List.of(begin, in.get(0))
                            : List.of(
                                    begin,
                                    neural.cachedAttention(scope, in.get(3), in.get(4), in.get(0), shape),
                                    in.get(0));
                },
                false,
                parts);
    }

    /** {@return rows {@code from} to {@code to - 1} of each sequence} */
    private static Matrix part(Matrix qkv, AttentionShape whole, int from, int to) {
        int cols = qkv.cols();
        int rows = whole.batch() * (to - from);
        float[] values = new float[rows * cols]; // [rows, cols]
        for (int row = 0; row < rows; row++) {
            int source = row / (to - from) * whole.sequence() + from + row % (to - from);
            System.arraycopy(qkv.values(), source * cols, values, row * cols, cols);
        }
        return new Matrix(values, rows, cols);
    }

    private static Expected rows(Expected expected, AttentionShape whole, int from, int to) {
        int cols = whole.width();
        int rows = whole.batch() * (to - from);
        Expected part = Expected.zeros(rows * cols);
        for (int row = 0; row < rows; row++) {
            int source = row / (to - from) * whole.sequence() + from + row % (to - from);
            System.arraycopy(expected.value(), source * cols, part.value(), row * cols, cols);
            System.arraycopy(expected.bound(), source * cols, part.bound(), row * cols, cols);
        }
        return part;
    }

    private static Tensor places(Rig rig, AttentionShape whole, int from, int to) {
        int[] places = new int[whole.batch() * (to - from)]; // [rows]
        Arrays.setAll(places, row -> from + row % (to - from));
        return rig.ints(places);
    }
}
