package dev.nibble.cli;

import dev.nibble.gemm.Product;
import dev.nibble.models.LayerSample;
import dev.nibble.quant.Contraction;
import dev.nibble.spi.Backend;
import dev.nibble.spi.Quantizer;
import dev.nibble.tensor.Role;

/**
 * What quantizing does to a product of a layer, against the product of the operands as they were, in FP64.
 *
 * @param snrDb {@code 10·log10(Σ exact² / Σ (D - exact)²)}, the error's energy as the mean over the draws
 * @param cosine {@code Σ exact·D / sqrt(Σ exact² · Σ D²)} of the first draw
 */
record ProductDiagnosis(double snrDb, double cosine) {
    static ProductDiagnosis of(Backend backend, Quantizer quantizer, Product product, LayerSample layer, int samples) {
        NpyArray a = oriented(layer, product.roleA(), product.contractionA());
        NpyArray b = oriented(layer, product.roleB(), product.contractionB());
        try (ProductProbe probe = new ProductProbe(backend, quantizer, product, a, b)) {
            double[] exact = probe.exact(); // [M, N]
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
                for (int i = 0; i < d.length; i++) {
                    double error = d[i] - exact[i];
                    noise += error * error / samples;
                    energy += (double) d[i] * d[i];
                    both += d[i] * exact[i];
                }
                cosine = draw == 0 ? both / Math.sqrt(signal * energy) : cosine;
            }
            double snr = signal == 0 ? Double.NaN : 10 * Math.log10(signal / noise);
            return new ProductDiagnosis(snr, Math.clamp(cosine, -1, 1));
        }
    }

    private static NpyArray oriented(LayerSample layer, Role role, Contraction contraction) {
        LayerSample.Matrix matrix = layer.operands().get(role);
        NpyArray array = new NpyArray(matrix.shape(), matrix.values());
        return contraction == Contraction.COLUMNS ? array : ExactProduct.transpose(array);
    }
}
