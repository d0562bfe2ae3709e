package dev.nibble.models.layers;

import java.util.Arrays;
import java.util.Map;

/** A GPT-2 with its loss in FP64, written as Radford et al. write it, one sequence and one position after the other. */
record DoubleGpt2(DecoderShape shape, Map<String, double[]> weights) {
    private double[] linear(double[] x, String name) {
        double[] bias = weights.get(name + ".bias"); // [out]
        double[] weight = weights.get(name + ".weight"); // [out, in]
        double[] y = bias.clone();
        for (int j = 0; j < y.length; j++) {
            for (int k = 0; k < x.length; k++) {
                y[j] += x[k] * weight[j * x.length + k];
            }
        }
        return y;
    }

    private double[] norm(double[] x, String name) {
        double mean = 0;
        for (double v : x) {
            mean += v / x.length;
        }
        double variance = 0;
        for (double v : x) {
            variance += (v - mean) * (v - mean) / x.length;
        }
        double[] y = new double[x.length]; // [width]
        for (int i = 0; i < y.length; i++) {
            y[i] = (x[i] - mean) / Math.sqrt(variance + 1e-5f) * weights.get(name + ".weight")[i]
                    + weights.get(name + ".bias")[i];
        }
        return y;
    }

    /** {@return the mixture of the values up to a position} */
    private double[] attend(double[][] packed, int position) {
        int width = shape.width();
        int size = width / shape.heads();
        double[] y = new double[width];
        for (int head = 0; head < shape.heads(); head++) {
            double[] p = new double[position + 1]; // [keys]
            double all = 0;
            for (int key = 0; key <= position; key++) {
                double score = 0;
                for (int i = head * size; i < (head + 1) * size; i++) {
                    score += packed[position][i] * packed[key][width + i];
                }
                p[key] = Math.exp(score / Math.sqrt(size));
                all += p[key];
            }
            for (int key = 0; key <= position; key++) {
                for (int i = head * size; i < (head + 1) * size; i++) {
                    y[i] += p[key] / all * packed[key][2 * width + i];
                }
            }
        }
        return y;
    }

    private static void add(double[] x, double[] branch) {
        for (int i = 0; i < x.length; i++) {
            x[i] += branch[i];
        }
    }

    /** {@return logits of each position of a sequence} */
    double[][] logits(int[] tokens) {
        int width = shape.width();
        double[] table = weights.get("embedding.weight");
        double[][] x = new double[tokens.length][width];
        for (int t = 0; t < tokens.length; t++) {
            for (int i = 0; i < width; i++) {
                x[t][i] = table[tokens[t] * width + i] + weights.get("positions.weight")[t * width + i];
            }
        }
        for (int block = 0; block < shape.layers(); block++) {
            String prefix = "blocks." + block + ".";
            double[][] packed = new double[tokens.length][];
            for (int t = 0; t < tokens.length; t++) {
                packed[t] = linear(norm(x[t], prefix + "attn.norm"), prefix + "attn.qkv");
            }
            for (int t = 0; t < tokens.length; t++) {
                add(x[t], linear(attend(packed, t), prefix + "attn.out"));
                double[] hidden = linear(norm(x[t], prefix + "mlp.norm"), prefix + "mlp.up");
                for (int i = 0; i < hidden.length; i++) {
                    hidden[i] = shape.mlp() == MlpKind.GELU_TANH
                            ? DoubleModel.geluTanh(hidden[i])
                            : DoubleModel.gelu(hidden[i]);
                }
                add(x[t], linear(hidden, prefix + "mlp.down"));
            }
        }
        double[][] logits = new double[tokens.length][shape.vocabulary()];
        for (int t = 0; t < tokens.length; t++) {
            double[] normed = norm(x[t], "norm");
            for (int v = 0; v < shape.vocabulary(); v++) {
                for (int i = 0; i < width; i++) {
                    logits[t][v] += normed[i] * table[v * width + i];
                }
            }
        }
        return logits;
    }

    /** {@return mean cross-entropy over sequences of one length, one after the other} */
    double loss(int[] ids, int[] targets, int sequence) {
        double sum = 0;
        for (int start = 0; start < ids.length; start += sequence) {
            double[][] logits = logits(Arrays.copyOfRange(ids, start, start + sequence));
            for (int t = 0; t < sequence; t++) {
                double all = 0;
                for (double logit : logits[t]) {
                    all += Math.exp(logit);
                }
                sum += Math.log(all) - logits[t][targets[start + t]];
            }
        }
        return sum / ids.length;
    }
}
