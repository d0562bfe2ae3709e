package dev.nibble.backend.cpu;

import dev.nibble.reference.Moments;
import java.util.Optional;
import java.util.function.Supplier;

/** {@link Moments} of a matrix in vectors, rows shared among threads; computed when they are first asked for. */
final class MatrixMoments implements Supplier<Moments> {
    private final Workers workers;
    private final float[] x; // [rows, cols]
    private final int rows;
    private final int cols;
    private Optional<Moments> moments = Optional.empty();

    MatrixMoments(Workers workers, float[] x, int rows, int cols) {
        this.workers = workers;
        this.x = x;
        this.rows = rows;
        this.cols = cols;
    }

    @Override
    public Moments get() {
        if (moments.isEmpty()) {
            moments = Optional.of(measure());
        }
        return moments.get();
    }

    private Moments measure() {
        float[] magnitudes = new float[rows]; // [rows]
        float[] squares = new float[rows]; // [rows]
        workers.forEachRun(rows, cols, (from, to) -> {
            for (int row = from; row < to; row++) {
                magnitudes[row] = LaneSums.magnitudes(x, row * cols, cols);
                squares[row] = LaneSums.dot(x, row * cols, x, row * cols, cols);
            }
        });
        return Moments.of(magnitudes, squares, (long) rows * cols);
    }
}
