package dev.nibble.reference;

import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Term;
import dev.nibble.spi.AttentionShape;
import dev.nibble.spi.KeyValueShape;
import dev.nibble.spi.Operand;
import dev.nibble.spi.Site;
import dev.nibble.spi.UpdateRule;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.List;

/** Checks of the shapes that enter an operation, shared by the backends. */
public final class OperandChecks {
    private OperandChecks() {}

    /** {@return the rows of a matrix, whose number an array index holds} */
    public static int rows(Tensor tensor) {
        return Math.toIntExact(tensor.shape().rows());
    }

    /** {@return the columns of a matrix, whose number an array index holds} */
    public static int cols(Tensor tensor) {
        return Math.toIntExact(tensor.shape().cols());
    }

    /**
     * Refuses an operand that is no [rows, cols] matrix.
     *
     * @throws IllegalArgumentException if it is not
     */
    public static void requireMatrix(String operand, Tensor tensor, long rows, long cols) {
        if (tensor.shape().rows() != rows || tensor.shape().cols() != cols) {
            throw mismatch(operand, tensor.shape(), Shape.of(rows, cols));
        }
    }

    /**
     * Refuses an operand that does not have this many elements.
     *
     * @throws IllegalArgumentException if it has not
     */
    public static void requireVector(String operand, Tensor tensor, long length) {
        if (tensor.shape().elements() != length) {
            throw mismatch(operand, tensor.shape(), Shape.of(length));
        }
    }

    /**
     * Refuses an operand that is not packed q, k and v.
     *
     * @throws IllegalArgumentException if it is not
     */
    public static void requirePacked(String operand, Tensor tensor, AttentionShape shape) {
        requireMatrix(operand, tensor, shape.tokens(), 3L * shape.width());
    }

    /**
     * Refuses operands of attention that do not fit a cache of keys and values.
     *
     * @return rows of each sequence
     * @throws IllegalArgumentException if they do not
     */
    public static int rowsOfCache(Tensor qkv, Tensor places, Tensor cache, KeyValueShape shape) {
        Shape needed = shape.cache();
        requireMatrix("cache", cache, needed.rows(), needed.cols());
        int rows = rows(qkv);
        if (rows == 0 || rows % shape.batch() != 0) {
            throw new IllegalArgumentException("qkv is " + qkv.shape() + ", but its rows must be a multiple of "
                    + shape.batch() + ", the sequences of the cache");
        }
        requireMatrix("qkv", qkv, rows, 3L * shape.heads() * shape.headSize());
        requireVector("places", places, rows);
        return rows / shape.batch();
    }

    /**
     * Refuses gate and up whose columns do not halve.
     *
     * @return the columns of each half
     * @throws IllegalArgumentException if their number is odd
     */
    public static int hiddenOf(Tensor gateUp) {
        int cols = cols(gateUp);
        if (cols % 2 != 0) {
            throw new IllegalArgumentException(
                    "gateUp is " + gateUp.shape() + ", but needs an even number of columns: gate, then up");
        }
        return cols / 2;
    }

    /**
     * Refuses a number below 1.
     *
     * @throws IllegalArgumentException if it is
     */
    public static void requirePositive(String what, int value) {
        if (value < 1) {
            throw new IllegalArgumentException(what + " is " + value + ", but must be at least 1");
        }
    }

    /**
     * Refuses rows that do not fall into groups.
     *
     * @return the number of groups
     * @throws IllegalArgumentException if their number is no multiple of {@code group}
     */
    public static int groupsOf(Tensor x, int group) {
        requirePositive("group", group);
        int rows = rows(x);
        if (rows % group != 0) {
            throw new IllegalArgumentException(
                    "x is " + x.shape() + ", but its rows must be a multiple of the group, " + group);
        }
        return rows / group;
    }

    /**
     * Refuses images, or their patches, that are not whole.
     *
     * @param rows of an image
     * @param cols of all
     * @return the number of images
     * @throws IllegalArgumentException if they are not
     */
    public static int imagesOf(String operand, Tensor tensor, int rows, int cols) {
        if (tensor.shape().cols() != cols || tensor.shape().rows() % rows != 0) {
            throw new IllegalArgumentException(
                    "%s is %s, but must be [images · %d, %d]".formatted(operand, tensor.shape(), rows, cols));
        }
        return Math.toIntExact(tensor.shape().rows() / rows);
    }

    /**
     * Refuses a share outside [0, 1].
     *
     * @throws IllegalArgumentException if it is
     */
    public static void requireShare(String what, float share) {
        if (!(share >= 0 && share <= 1)) {
            throw new IllegalArgumentException(what + " is " + share + ", but must be in [0, 1]");
        }
    }

    /**
     * Refuses a row number outside a table.
     *
     * @throws IllegalArgumentException if one is
     */
    public static void requireBelow(String operand, int[] values, int limit) {
        for (int i = 0; i < values.length; i++) {
            if (values[i] < 0 || values[i] >= limit) {
                throw new IllegalArgumentException(
                        operand + "[" + i + "] is " + values[i] + ", but must be in 0.." + (limit - 1));
            }
        }
    }

    /**
     * Refuses a part that does not lie within a vector.
     *
     * @return the vector's length
     * @throws IllegalArgumentException if it does not
     */
    public static int requirePart(String operand, Tensor tensor, int first, long length) {
        if (first < 0 || first + length > tensor.shape().elements()) {
            throw new IllegalArgumentException("%s is %s, but must hold %d values from place %d on"
                    .formatted(operand, tensor.shape(), length, first));
        }
        return Math.toIntExact(tensor.shape().elements());
    }

    /**
     * Refuses a block that does not lie within a matrix.
     *
     * @throws IllegalArgumentException if it does not
     */
    public static void requireBlock(String operand, Tensor tensor, int row, int col, int rows, int cols) {
        if ((long) row + rows > tensor.shape().rows()
                || (long) col + cols > tensor.shape().cols()) {
            throw new IllegalArgumentException("%s is %s, but must hold a block [%d, %d] at (%d, %d)"
                    .formatted(operand, tensor.shape(), rows, cols, row, col));
        }
    }

    /**
     * Refuses scores whose rows are no whole sequences, if they are masked, and a factor that is not finite.
     *
     * @return the columns: one a key
     * @throws IllegalArgumentException if they are not, or if it is not
     */
    public static int keysOf(String operand, Tensor scores, float scale, boolean causal) {
        if (!Float.isFinite(scale)) {
            throw new IllegalArgumentException("scale is " + scale + ", but must be finite");
        }
        int keys = cols(scores);
        if (causal && (keys == 0 || rows(scores) % keys != 0)) {
            throw new IllegalArgumentException(operand + " is " + scores.shape()
                    + ", but under a mask its rows must be a multiple of its columns: a row a token of each sequence");
        }
        return keys;
    }

    /**
     * Requires that operands and result of a product fit together.
     *
     * @throws IllegalArgumentException naming product, layer and shapes
     */
    public static void requireProduct(GemmSpec spec, Site site, Operand a, Operand b, Tensor d) {
        String where = spec.product().label() + " of layer " + site.name() + ": ";
        if (a.k() != b.k()) {
            throw new IllegalArgumentException("%sA is [%d, %d] and B is [%d, %d], but both need the same last extent"
                    .formatted(where, a.rows(), a.k(), b.rows(), b.k()));
        }
        if (d.shape().rows() != a.rows() || d.shape().cols() != b.rows()) {
            throw new IllegalArgumentException("%sD is %s, but A [%d, %d] and B [%d, %d] need [%d, %d]"
                    .formatted(where, d.shape(), a.rows(), a.k(), b.rows(), b.k(), a.rows(), b.rows()));
        }
        for (Term term : spec.terms()) {
            if (term.planeA() >= a.spec().planes().size()
                    || term.planeB() >= b.spec().planes().size()) {
                throw new IllegalArgumentException("%sa term uses planes %d and %d, but the operands have %d and %d"
                        .formatted(
                                where,
                                term.planeA(),
                                term.planeB(),
                                a.spec().planes().size(),
                                b.spec().planes().size()));
            }
        }
    }

    private static IllegalArgumentException mismatch(String operand, Shape shape, Shape needed) {
        return new IllegalArgumentException(operand + " is " + shape + ", but must be " + needed);
    }

    /**
     * Checks that an update is given what it remembers.
     *
     * @throws IllegalArgumentException if it is given more or less
     */
    public static void requireStates(UpdateRule rule, List<Tensor> state) {
        if (state.size() != rule.states().size()) {
            throw new IllegalArgumentException("the state of the optimizer has %d tensors, but %s needs %s"
                    .formatted(state.size(), rule, rule.states()));
        }
    }

    /**
     * Refuses averages that do not fit what they are averages of.
     *
     * @throws IllegalArgumentException if their number, a shape or the decay does not fit
     */
    public static void requireAverages(List<Tensor> averages, List<Tensor> values, float decay) {
        if (!(decay > 0 && decay < 1)) {
            throw new IllegalArgumentException("the decay of averages is " + decay + ", but must be in (0, 1)");
        }
        if (averages.size() != values.size()) {
            throw new IllegalArgumentException(
                    "there are %d averages, but %d tensors".formatted(averages.size(), values.size()));
        }
        for (int i = 0; i < averages.size(); i++) {
            Shape average = averages.get(i).shape();
            Shape value = values.get(i).shape();
            if (!average.equals(value)) {
                throw new IllegalArgumentException("average %s is %s, but must be %s"
                        .formatted(averages.get(i).label(), average, value));
            }
        }
    }
}
