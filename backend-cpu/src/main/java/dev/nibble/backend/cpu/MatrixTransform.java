package dev.nibble.backend.cpu;

import dev.nibble.quant.Transform;
import dev.nibble.reference.Transforms;
import dev.nibble.spi.DeviceState;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorSpecies;

/** A {@link Transform} whose state has been read, applied to rows: {@link Transforms} in vectors, bit for bit. */
sealed interface MatrixTransform {
    /** {@return the transform of matrices with this many columns} */
    static MatrixTransform of(Transform transform, DeviceState state, int cols) {
        return switch (transform) {
            case Transform.Identity _ -> new Identity();
            case Transform.BlockHadamard hadamard -> new Butterflies(Transforms.log2(hadamard, state, cols));
            case Transform.ColumnScale scale ->
                new Columns(Transforms.columnScale(scale, state, cols), scale.inverse());
        };
    }

    /** Transforms one row. */
    void inPlace(float[] x, int from, int count);

    /** Writes a transformed row from index 0 of {@code out}. */
    default void row(float[] x, int from, int count, float[] out) {
        System.arraycopy(x, from, out, 0, count);
        inPlace(out, 0, count);
    }

    /**
     * Transforms a matrix.
     *
     * @param x [rows, cols], not modified
     * @param out receives the result, [rows, cols]
     */
    default void apply(Workers workers, float[] x, int rows, int cols, float[] out) {
        workers.forEachRun(rows, cols, (from, to) -> {
            for (int row = from; row < to; row++) {
                System.arraycopy(x, row * cols, out, row * cols, cols);
                inPlace(out, row * cols, cols);
            }
        });
    }

    /** Nothing. */
    record Identity() implements MatrixTransform {
        @Override
        public void inPlace(float[] x, int from, int count) {
            // the identity
        }
    }

    /** Hadamard transforms of runs of 2^log2 columns. */
    record Butterflies(int log2) implements MatrixTransform {
        @Override
        public void inPlace(float[] x, int from, int count) {
            HadamardLanes.transform(x, from, count, log2);
        }
    }

    /**
     * Column k times d[k], or divided by it.
     *
     * @param d [cols]
     * @param inverse whether to divide
     */
    record Columns(float[] d, boolean inverse) implements MatrixTransform {
        private static final VectorSpecies<Float> LANES = TileKernel.LANES;

        @Override
        public void inPlace(float[] x, int from, int count) {
            if (inverse) {
                divide(x, from, count);
            } else {
                multiply(x, from, count);
            }
        }

        private void divide(float[] x, int from, int count) {
            int whole = LANES.loopBound(count);
            for (int i = 0; i < whole; i += LANES.length()) {
                FloatVector.fromArray(LANES, x, from + i)
                        .div(FloatVector.fromArray(LANES, d, i))
                        .intoArray(x, from + i);
            }
            for (int i = whole; i < count; i++) {
                x[from + i] /= d[i];
            }
        }

        private void multiply(float[] x, int from, int count) {
            int whole = LANES.loopBound(count);
            for (int i = 0; i < whole; i += LANES.length()) {
                FloatVector.fromArray(LANES, x, from + i)
                        .mul(FloatVector.fromArray(LANES, d, i))
                        .intoArray(x, from + i);
            }
            for (int i = whole; i < count; i++) {
                x[from + i] *= d[i];
            }
        }
    }
}
