package dev.nibble.models.encoder;

import java.util.Arrays;
import java.util.Map;

/** An encoder with its loss in FP64, written as the papers write it: padding is cut off, each sequence on its own. */
record DoubleEncoder(EncoderShape shape, Map<String, double[]> weights) {
    private double[] linear(double[] x, String name) {
        double[] bias = weights.get(name + ".bias"); // [out]
        double[] weight = weights.get(name + ".weight"); // [out, in]
        int out = bias.length;
        int in = weight.length / out;
        int rows = x.length / in;
        double[] y = new double[rows * out]; // [rows, out]
        for (int row = 0; row < rows; row++) {
            for (int j = 0; j < out; j++) {
                double sum = bias[j];
                for (int k = 0; k < in; k++) {
                    sum += x[row * in + k] * weight[j * in + k];
                }
                y[row * out + j] = sum;
            }
        }
        return y;
    }

    private double[] norm(double[] x, String name) {
        int width = shape.width();
        double[] y = new double[x.length]; // [rows, width]
        for (int start = 0; start < x.length; start += width) {
            double mean = 0;
            for (int i = 0; i < width; i++) {
                mean += x[start + i] / width;
            }
            double variance = 0;
            for (int i = 0; i < width; i++) {
                variance += (x[start + i] - mean) * (x[start + i] - mean) / width;
            }
            for (int i = 0; i < width; i++) {
                y[start + i] = (x[start + i] - mean) / Math.sqrt(variance + 1e-12) * weights.get(name + ".weight")[i]
                        + weights.get(name + ".bias")[i];
            }
        }
        return y;
    }

    private static double[] sum(double[] a, double[] b) {
        double[] y = a.clone();
        for (int i = 0; i < y.length; i++) {
            y[i] += b[i];
        }
        return y;
    }

    private static double[] gelu(double[] x) {
        double[] y = new double[x.length]; // [elements]
        for (int i = 0; i < y.length; i++) {
            double term = x[i];
            double series = x[i];
            for (int k = 1; k < 200; k++) {
                term *= x[i] * x[i] / (2 * k + 1);
                series += term;
            }
            y[i] = x[i] * (0.5 + Math.exp(-x[i] * x[i] / 2) / Math.sqrt(2 * Math.PI) * series);
        }
        return y;
    }

    private double[] attention(double[] packed) {
        int width = shape.width();
        int size = width / shape.heads();
        int length = packed.length / (3 * width);
        double[] y = new double[length * width]; // [length, width]
        for (int head = 0; head < shape.heads(); head++) {
            for (int query = 0; query < length; query++) {
                double[] p = new double[length]; // [length]
                double all = 0;
                for (int key = 0; key < length; key++) {
                    double score = 0;
                    for (int i = 0; i < size; i++) {
                        score += packed[query * 3 * width + head * size + i]
                                * packed[key * 3 * width + width + head * size + i];
                    }
                    p[key] = Math.exp(score / Math.sqrt(size));
                    all += p[key];
                }
                for (int key = 0; key < length; key++) {
                    for (int i = 0; i < size; i++) {
                        y[query * width + head * size + i] +=
                                p[key] / all * packed[key * 3 * width + 2 * width + head * size + i];
                    }
                }
            }
        }
        return y;
    }

    private double[] logits(int[] tokens) {
        int width = shape.width();
        double[] x = new double[tokens.length * width]; // [length, width]
        for (int row = 0; row < tokens.length; row++) {
            for (int i = 0; i < width; i++) {
                x[row * width + i] = weights.get("embedding.weight")[tokens[row] * width + i]
                        + weights.get("positions.weight")[row * width + i]
                        + weights.get("types.weight")[i];
            }
        }
        x = norm(x, "embedding.norm");
        for (int block = 0; block < shape.layers(); block++) {
            String prefix = "blocks." + block + ".";
            double[] mixed = linear(attention(linear(x, prefix + "attn.qkv")), prefix + "attn.out");
            x = norm(sum(x, mixed), prefix + "attn.norm");
            double[] raised = linear(gelu(linear(x, prefix + "mlp.up")), prefix + "mlp.down");
            x = norm(sum(x, raised), prefix + "mlp.norm");
        }
        return linear(Arrays.copyOf(x, width), "head");
    }

    /** {@return mean cross-entropy of sequences} */
    double loss(int[][] sequences, int[] targets) {
        double loss = 0;
        for (int i = 0; i < targets.length; i++) {
            double[] logits = logits(sequences[i]);
            double all = 0;
            for (double logit : logits) {
                all += Math.exp(logit);
            }
            loss += (Math.log(all) - logits[targets[i]]) / targets.length;
        }
        return loss;
    }
}
