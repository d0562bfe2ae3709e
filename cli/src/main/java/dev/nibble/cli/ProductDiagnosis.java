package dev.nibble.cli;

import dev.nibble.gemm.Product;
import dev.nibble.models.LayerSample;
import dev.nibble.quant.Contraction;
import dev.nibble.spi.Backend;
import dev.nibble.spi.Quantizer;
import dev.nibble.tensor.Role;
import dev.nibble.tensor.Shape;

/**
 * What quantizing does to a product of a layer, against the product of the operands as they were, in FP64.
 *
 * @param snrDb {@code 10·log10(Σ exact² / Σ (D - exact)²)}, the error's energy as the mean over the draws
 * @param cosine {@code Σ exact·D / sqrt(Σ exact² · Σ D²)} of the first draw
 */
record ProductDiagnosis(double snrDb, double cosine) {
    static ProductDiagnosis of(Backend backend, Quantizer quantizer, Product product, LayerSample layer, int samples) {
        return of(backend, quantizer, product, layer, samples, Integer.MAX_VALUE);
    }

    /** {@return the same of at most so many rows of D, evenly spaced} */
    static ProductDiagnosis of(
            Backend backend, Quantizer quantizer, Product product, LayerSample layer, int samples, int mostRows) {
        NpyArray a = oriented(layer, product.roleA(), product.contractionA());
        NpyArray b = oriented(layer, product.roleB(), product.contractionB());
        int rows = (int) a.shape().rows();
        int n = (int) b.shape().rows();
        int stride = Math.ceilDiv(rows, Math.min(rows, mostRows));
        try (ProductProbe probe = new ProductProbe(backend, quantizer, product, a, b)) {
            double[] exact = ExactProduct.of(everyRow(a, stride), b); // [compared, N]
            double signal = 0;
            for (double value : exact) {
                signal += value * value;
            }
            double noise = 0;
            double cosine = Double.NaN;
            for (int draw = 0; draw < samples; draw++) {
                float[] d = probe.draw(draw); // [M, N]
                double energy = 0;
                double both = 0;
                for (int i = 0; i < exact.length; i++) {
                    double value = d[i / n * stride * n + i % n];
                    double error = value - exact[i];
                    noise += error * error / samples;
                    energy += value * value;
                    both += value * exact[i];
                }
                cosine = draw == 0 ? both / Math.sqrt(signal * energy) : cosine;
            }
            double snr = signal == 0 ? Double.NaN : 10 * Math.log10(signal / noise);
            return new ProductDiagnosis(snr, Math.clamp(cosine, -1, 1));
        }
    }

    private static NpyArray everyRow(NpyArray matrix, int stride) {
        if (stride == 1) {
            return matrix;
        }
        int cols = (int) matrix.shape().cols();
        int rows = Math.ceilDiv((int) matrix.shape().rows(), stride);
        float[] values = new float[rows * cols]; // [rows, cols]
        for (int row = 0; row < rows; row++) {
            System.arraycopy(matrix.values(), row * stride * cols, values, row * cols, cols);
        }
        return new NpyArray(Shape.of(rows, cols), values);
    }

    private static NpyArray oriented(LayerSample layer, Role role, Contraction contraction) {
        LayerSample.Matrix matrix = layer.operands().get(role);
        NpyArray array = new NpyArray(matrix.shape(), matrix.values());
        return contraction == Contraction.COLUMNS ? array : ExactProduct.transpose(array);
    }
}
