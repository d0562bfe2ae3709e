package dev.nibble.testkit;

import static dev.nibble.testkit.Expected.U;

import dev.nibble.spi.Window;
import dev.nibble.testkit.data.FloatError;
import dev.nibble.testkit.data.Matrix;

/** Patches and batch normalization in FP64, from their definitions. Bounds hold for sums in any order. */
final class ConvolutionOracle {
    private ConvolutionOracle() {}

    /** What is done with an element of a patch and the pixel that it shows. */
    @FunctionalInterface
    private interface Pair {
        void accept(int element, int pixel);
    }

    /** Calls for every element of every patch that does not lie beyond an edge. */
    private static void forEachPair(int images, Window w, Pair pair) {
        for (int image = 0; image < images; image++) {
            for (int y = 0; y < w.outHeight(); y++) {
                for (int x = 0; x < w.outWidth(); x++) {
                    int patch = ((image * w.outHeight() + y) * w.outWidth() + x) * w.patch();
                    for (int at = 0; at < w.patch(); at++) {
                        int row = y * w.stride() + at / w.channels() / w.kernel() - w.padding();
                        int col = x * w.stride() + at / w.channels() % w.kernel() - w.padding();
                        if (row >= 0 && row < w.height() && col >= 0 && col < w.width()) {
                            int pixel = (image * w.height() + row) * w.width() + col;
                            pair.accept(patch + at, pixel * w.channels() + at % w.channels());
                        }
                    }
                }
            }
        }
    }

    /** {@return the patches} Copies: exact. */
    static Expected unfold(Matrix x, int images, Window w) {
        Expected patches = Expected.zeros(images * w.places() * w.patch());
        forEachPair(images, w, (element, pixel) -> patches.value()[element] = x.values()[pixel]);
        return patches;
    }

    /** {@return the sums of patches} At most kernel² additions. */
    static Expected fold(Matrix patches, int images, Window w) {
        Expected x = Expected.zeros(images * w.pixels() * w.channels());
        double factor = FloatError.gamma((long) w.kernel() * w.kernel());
        forEachPair(images, w, (element, pixel) -> {
            x.value()[pixel] += patches.values()[element];
            x.bound()[pixel] += Math.abs(patches.values()[element]) * factor;
        });
        return x;
    }

    /**
     * {@return means, then variances} The mean is off by e = γ(rows + 1) · mean|x|. So each x - mean is off by e and a rounding, which its
     * square doubles: 2|x - mean| · e + e², and γ(rows + 5) of (|x - mean| + e)².
     */
    static Expected moments(Matrix x) {
        int width = x.cols();
        int rows = x.rows();
        Expected moments = Expected.zeros(2 * width);
        for (int col = 0; col < width; col++) {
            double sum = 0;
            double sizes = 0;
            for (int row = 0; row < rows; row++) {
                sum += x.at(row, col);
                sizes += Math.abs(x.at(row, col));
            }
            double mean = sum / rows;
            double off = sizes / rows * FloatError.gamma(rows + 1L);
            moments.value()[col] = mean;
            moments.bound()[col] = off;
            for (int row = 0; row < rows; row++) {
                double d = Math.abs(x.at(row, col) - mean);
                moments.value()[width + col] += d * d / rows;
                moments.bound()[width + col] +=
                        (2 * d * off + off * off + (d + off) * (d + off) * FloatError.gamma(rows + 5L)) / rows;
            }
        }
        return moments;
    }

    private static double inverse(Matrix moments, int col, float epsilon) {
        return 1 / Math.sqrt((double) moments.at(1, col) + epsilon);
    }

    /** {@return y} 1 / sqrt has 3 roundings, the first halved by the root; difference, product, fused multiply-add. */
    static Expected batchNorm(Matrix x, Matrix moments, float[] weight, float[] bias, float epsilon) {
        Expected y = Expected.zeros(x.values().length);
        for (int i = 0; i < x.values().length; i++) {
            int col = i % x.cols();
            double scaled =
                    ((double) x.values()[i] - moments.at(0, col)) * inverse(moments, col, epsilon) * weight[col];
            y.value()[i] = scaled + bias[col];
            y.bound()[i] = Math.abs(scaled) * FloatError.gamma(6) + U * Math.abs(y.value()[i]);
        }
        return y;
    }

    /**
     * {@return dx, dweight and dbias} The sums B and W are off by γ(rows + 1) · Σ|dy| and γ(rows + 6) · Σ|dy · z|; every term of dx has at
     * most 10 roundings besides.
     */
    static Expected[] batchNormBackward(
            Matrix dy,
            Matrix x,
            Matrix moments,
            float[] weight,
            float epsilon,
            float[] beforeWeight,
            float[] beforeBias) {
        int width = x.cols();
        int rows = x.rows();
        Expected dx = Expected.zeros(x.values().length);
        Expected dw = Expected.zeros(width);
        Expected db = Expected.zeros(width);
        for (int col = 0; col < width; col++) {
            double r = inverse(moments, col, epsilon);
            double b = 0;
            double w = 0;
            double offB = 0;
            double offW = 0;
            for (int row = 0; row < rows; row++) {
                double z = ((double) x.at(row, col) - moments.at(0, col)) * r;
                b += dy.at(row, col);
                w += dy.at(row, col) * z;
                offB += Math.abs(dy.at(row, col)) * FloatError.gamma(rows + 1L);
                offW += Math.abs(dy.at(row, col) * z) * FloatError.gamma(rows + 6L);
            }
            for (int row = 0; row < rows; row++) {
                double z = ((double) x.at(row, col) - moments.at(0, col)) * r;
                double factor = weight[col] * r;
                double sizes = Math.abs(dy.at(row, col)) + Math.abs(b) / rows + Math.abs(z * w) / rows;
                double off = (offB + Math.abs(z) * offW) / rows;
                dx.value()[row * width + col] = factor * (dy.at(row, col) - b / rows - z * w / rows);
                dx.bound()[row * width + col] =
                        Math.abs(factor) * (sizes * FloatError.gamma(10) + off * (1 + FloatError.gamma(10)));
            }
            dw.value()[col] = beforeWeight[col] + w;
            dw.bound()[col] = offW + 2 * U * Math.abs(dw.value()[col]);
            db.value()[col] = beforeBias[col] + b;
            db.bound()[col] = offB + 2 * U * Math.abs(db.value()[col]);
        }
        return new Expected[] {dx, dw, db};
    }

    /** {@return average + (sample - average) · share} Two roundings. */
    static Expected moveAverage(Matrix average, Matrix sample, float share) {
        Expected moved = Expected.zeros(average.values().length);
        for (int i = 0; i < moved.value().length; i++) {
            double step = ((double) sample.values()[i] - average.values()[i]) * share;
            moved.value()[i] = average.values()[i] + step;
            moved.bound()[i] = U * Math.abs(step) + U * Math.abs(moved.value()[i]) * (1 + U);
        }
        return moved;
    }
}
