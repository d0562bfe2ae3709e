package dev.nibble.models.layers;

import java.util.Arrays;

/** The layers' forward passes in FP64, written from their formulas: what gradients are checked against. */
final class DoubleModel {
    private static final double EPSILON = 1e-5f; // the layer's constant, as FP32 has it
    private static final double ROTARY_BASE = 10000;

    private DoubleModel() {}

    /** {@code y[t, o] = Σ_i x[t, i] · w[o, i]}. */
    static double[] linear(double[] x, double[] w, int in) {
        int tokens = x.length / in;
        int out = w.length / in;
        double[] y = new double[tokens * out]; // [tokens, out]
        for (int t = 0; t < tokens; t++) {
            for (int o = 0; o < out; o++) {
                for (int i = 0; i < in; i++) {
                    y[t * out + o] += x[t * in + i] * w[o * in + i];
                }
            }
        }
        return y;
    }

    static double[] rmsNorm(double[] x, double[] w) {
        int width = w.length;
        double[] y = new double[x.length]; // [rows, width]
        for (int row = 0; row < x.length / width; row++) {
            double squares = 0;
            for (int i = 0; i < width; i++) {
                squares += x[row * width + i] * x[row * width + i];
            }
            double inverse = 1 / Math.sqrt(squares / width + EPSILON);
            for (int i = 0; i < width; i++) {
                y[row * width + i] = x[row * width + i] * inverse * w[i];
            }
        }
        return y;
    }

    static double[] swiGlu(double[] gateUp, int hidden) {
        int rows = gateUp.length / (2 * hidden);
        double[] h = new double[rows * hidden]; // [rows, hidden]
        for (int row = 0; row < rows; row++) {
            for (int i = 0; i < hidden; i++) {
                double gate = gateUp[row * 2 * hidden + i];
                double up = gateUp[row * 2 * hidden + hidden + i];
                h[row * hidden + i] = gate / (1 + Math.exp(-gate)) * up;
            }
        }
        return h;
    }

    /** {@return x · Φ(x), by the series of Φ} */
    static double gelu(double x) {
        double term = x;
        double series = x;
        for (int k = 1; k < 200; k++) {
            term *= x * x / (2 * k + 1);
            series += term;
        }
        return x * (0.5 + Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI) * series);
    }

    static double[] relu(double[] x) {
        return Arrays.stream(x).map(v -> Math.max(v, 0)).toArray();
    }

    /** Means of groups of rows, [rows / group, width]. */
    static double[] meanRows(double[] x, int group, int width) {
        double[] y = new double[x.length / group]; // [rows / group, width]
        for (int i = 0; i < x.length; i++) {
            y[i / (group * width) * width + i % width] += x[i] / group;
        }
        return y;
    }

    /** Turns q and k of a packed [batch · sequence, 3 · heads · size] tensor, and attends causally. */
    static double[] attention(double[] packed, int batch, int sequence, int heads, int size) {
        double[] turned = rotate(packed, batch * sequence, sequence, heads, size);
        return attend(turned, batch, sequence, heads, size, true);
    }

    /** Attends to all tokens of a packed [batch · sequence, 3 · heads · size] tensor, without turning them. */
    static double[] attentionToAll(double[] packed, int batch, int sequence, int heads, int size) {
        return attend(packed, batch, sequence, heads, size, false);
    }

    private static double[] attend(double[] packed, int batch, int sequence, int heads, int size, boolean causal) {
        int width = heads * size;
        double[] out = new double[batch * sequence * width]; // [batch · sequence, width]
        for (int b = 0; b < batch; b++) {
            for (int head = 0; head < heads; head++) {
                for (int i = 0; i < sequence; i++) {
                    int keys = causal ? i + 1 : sequence;
                    attend(packed, out, b * sequence, i, keys, head * size, width, size);
                }
            }
        }
        return out;
    }

    private static void attend(
            double[] packed, double[] out, int first, int i, int keys, int offset, int width, int size) {
        double[] weights = new double[keys]; // [positions that i sees]
        double sum = 0;
        for (int j = 0; j < keys; j++) {
            double dot = 0;
            for (int d = 0; d < size; d++) {
                dot += packed[(first + i) * 3 * width + offset + d]
                        * packed[(first + j) * 3 * width + width + offset + d];
            }
            weights[j] = Math.exp(dot / Math.sqrt(size));
            sum += weights[j];
        }
        for (int j = 0; j < keys; j++) {
            for (int d = 0; d < size; d++) {
                out[(first + i) * width + offset + d] +=
                        weights[j] / sum * packed[(first + j) * 3 * width + 2 * width + offset + d];
            }
        }
    }

    private static double[] rotate(double[] packed, int tokens, int sequence, int heads, int size) {
        double[] turned = packed.clone();
        int width = heads * size;
        for (int t = 0; t < tokens; t++) {
            for (int pair = 0; pair < size / 2; pair++) {
                double angle = t % sequence * Math.pow(ROTARY_BASE, -2.0 * pair / size);
                for (int head = 0; head < 2 * heads; head++) { // those of q, then those of k
                    int a = t * 3 * width + head * size + pair;
                    int b = a + size / 2;
                    turned[a] = packed[a] * Math.cos(angle) - packed[b] * Math.sin(angle);
                    turned[b] = packed[a] * Math.sin(angle) + packed[b] * Math.cos(angle);
                }
            }
        }
        return turned;
    }

    /** {@code x · (1 + tanh(sqrt(2/π) · (x + 0.044715 · x³))) / 2}. */
    static double geluTanh(double x) {
        return x / 2 * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x)));
    }

    static double[] embedding(int[] ids, double[] table, int width) {
        double[] y = new double[ids.length * width]; // [tokens, width]
        for (int t = 0; t < ids.length; t++) {
            System.arraycopy(table, ids[t] * width, y, t * width, width);
        }
        return y;
    }

    static double crossEntropy(double[] logits, int[] targets) {
        int vocabulary = logits.length / targets.length;
        double total = 0;
        for (int t = 0; t < targets.length; t++) {
            double sum = 0;
            for (int v = 0; v < vocabulary; v++) {
                sum += Math.exp(logits[t * vocabulary + v]);
            }
            total += Math.log(sum) - logits[t * vocabulary + targets[t]];
        }
        return total / targets.length;
    }

    static double[] add(double[] a, double[] b) {
        double[] sum = a.clone();
        for (int i = 0; i < sum.length; i++) {
            sum[i] += b[i];
        }
        return sum;
    }

    static double dot(double[] a, float[] b) {
        double sum = 0;
        for (int i = 0; i < a.length; i++) {
            sum += a[i] * b[i];
        }
        return sum;
    }
}
