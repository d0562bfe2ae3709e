package dev.nibble.quant.int4;

import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.reference.Hadamard;
import dev.nibble.spi.Backend;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * The gradients of a network against those of its quantized forward pass. Three layers with ReLU between, cross-entropy, one
 * batch: the exact dW of each layer is computed in FP64 from the codes, the masks and an unquantized dY. Below the last layer
 * dY is itself a product of draws whose mean is the exact one, since draws of different layers are independent and
 * everything after them is linear.
 */
class GradientTests {
    private static final int TOKENS = 40;
    private static final int[] WIDTHS = {32, 48, 32, 13}; // blocks of 32, 16 and 32
    private static final int LAYERS = WIDTHS.length - 1;

    /** The network after one forward pass. */
    private static final class Network implements AutoCloseable {
        private final Backend backend = Layer.backend();
        private final List<Layer> layers = new ArrayList<>();
        private final List<Layer.Pass> passes = new ArrayList<>();
        private final List<double[]> exact = new ArrayList<>(); // dW of each layer, [out, in]
        private final Matrix top; // dY of the last layer, [tokens, classes]

        Network(Map<String, String> options) {
            try (StepScope scope = backend.beginStep(StepContext.train(0, 0))) {
                Matrix x = Matrix.normal(1, TOKENS, WIDTHS[0], 1);
                for (int i = 0; i < LAYERS; i++) {
                    Matrix w = Matrix.normal(10 + i, WIDTHS[i + 1], WIDTHS[i], Math.sqrt(2.0 / WIDTHS[i]));
                    layers.add(new Layer(backend, new Site("layer" + i, i), options, w));
                    passes.add(layers.get(i).forward(scope, x));
                    x = i < LAYERS - 1 ? relu(passes.get(i).y()) : passes.get(i).y();
                }
                top = crossEntropy(x);
                computeExact(scope);
            }
        }

        private static Matrix relu(Matrix y) {
            float[] out = y.values().clone(); // [tokens, width]
            for (int i = 0; i < out.length; i++) {
                out[i] = Math.max(out[i], 0);
            }
            return new Matrix(out, y.rows(), y.cols());
        }

        /** {@return softmax minus target, [tokens, classes]; class t mod classes is token t's} */
        private static Matrix crossEntropy(Matrix logits) {
            int classes = logits.cols();
            float[] gradient = new float[logits.values().length]; // [tokens, classes]
            for (int t = 0; t < logits.rows(); t++) {
                double sum = 0;
                for (int c = 0; c < classes; c++) {
                    sum += StrictMath.exp(logits.values()[t * classes + c]);
                }
                for (int c = 0; c < classes; c++) {
                    double target = c == t % classes ? 1 : 0;
                    gradient[t * classes + c] =
                            (float) ((StrictMath.exp(logits.values()[t * classes + c]) / sum - target) / TOKENS);
                }
            }
            return new Matrix(gradient, logits.rows(), classes);
        }

        private void computeExact(StepScope scope) {
            double[] dy = top.widened(); // [tokens, out]
            for (int i = LAYERS - 1; i >= 0; i--) {
                Layer layer = layers.get(i);
                Matrix x = layer.dequantize(scope, passes.get(i).input()); // [in, tokens], transformed
                Matrix w = layer.dequantize(scope, passes.get(i).weight()); // [in, out], transformed
                int out = WIDTHS[i + 1];
                double[] turned = new double[dy.length]; // [out, tokens]
                for (int j = 0; j < dy.length; j++) {
                    turned[j % out * TOKENS + j / out] = dy[j];
                }
                int log2 = (int) layer.state("hadamard");
                exact.addFirst(
                        clipped(Matrix.timesTransposed(turned, out, x), layer.weight(), layer.state("stepW"), log2));
                double[] dx = clipped(
                        Matrix.timesTransposed(dy, TOKENS, w), passes.get(i).x(), layer.state("stepX"), log2);
                for (int j = 0; j < dx.length && i > 0; j++) {
                    dx[j] = passes.get(i - 1).y().values()[j] > 0 ? dx[j] : 0;
                }
                dy = dx;
            }
        }

        /** {@return (product where H(x) / step is within ±7) · H} */
        private static double[] clipped(double[] product, Matrix x, float step, int log2) {
            float[] transformed = x.values().clone(); // [rows, cols]
            Hadamard.transform(transformed, 0, transformed.length, log2);
            double[] masked = new double[product.length]; // [rows, cols]
            for (int i = 0; i < product.length; i++) {
                masked[i] = Math.abs(transformed[i] / step) <= 7 ? product[i] : 0;
            }
            int size = 1 << log2;
            double[] out = new double[product.length]; // [rows, cols]
            for (int i = 0; i < out.length; i++) {
                for (int k = 0; k < size; k++) {
                    int sign = Integer.bitCount(i % size & k) % 2 == 0 ? 1 : -1;
                    out[i] += sign * masked[i / size * size + k] / Math.sqrt(size);
                }
            }
            return out;
        }

        /** {@return dW of each layer in one draw} */
        List<Matrix> draw(int number) {
            List<Matrix> gradients = new ArrayList<>(Collections.nCopies(LAYERS, Matrix.zeros(1, 1)));
            try (StepScope scope = backend.beginStep(StepContext.train(number, 0))) {
                Matrix dy = top;
                for (int i = LAYERS - 1; i >= 0; i--) {
                    Layer.Gradients found = layers.get(i).backward(scope, passes.get(i), dy);
                    gradients.set(i, found.weight());
                    if (i > 0) {
                        float[] dx = found.input().values(); // [tokens, in]
                        float[] y = passes.get(i - 1).y().values(); // [tokens, in]
                        for (int j = 0; j < dx.length; j++) {
                            dx[j] = y[j] > 0 ? dx[j] : 0;
                        }
                        dy = found.input();
                    }
                }
            }
            return gradients;
        }

        @Override
        public void close() {
            passes.forEach(Layer.Pass::close);
            layers.forEach(Layer::close);
            backend.close();
        }
    }

    /** How far the mean dW of a layer is from the exact one, in standard errors of the draws. */
    private static final class Distance {
        private final double[] exact; // [out, in]
        private final double[] sums; // of dW - exact, [out, in]
        private final double[] squares; // [out, in]
        private double along; // sum of the errors' components along exact
        private double alongSquares;
        private int draws;

        Distance(double[] exact) {
            this.exact = exact;
            sums = new double[exact.length];
            squares = new double[exact.length];
        }

        void add(Matrix gradient) {
            double component = 0;
            for (int i = 0; i < exact.length; i++) {
                double error = gradient.values()[i] - exact[i];
                sums[i] += error;
                squares[i] += error * error;
                component += error * exact[i];
            }
            along += component;
            alongSquares += component * component;
            draws++;
        }

        private double standardErrors(double sum, double sumOfSquares) {
            double mean = sum / draws;
            return Math.abs(mean) / Math.sqrt((sumOfSquares / draws - mean * mean) / draws);
        }

        /** {@return of the element that is farthest} */
        double largest() {
            double largest = 0;
            for (int i = 0; i < exact.length; i++) {
                largest = Math.max(largest, standardErrors(sums[i], squares[i]));
            }
            return largest;
        }

        /** {@return of the component along the exact gradient: it sees what all elements have in common, such as shrinking} */
        double alongExact() {
            return standardErrors(along, alongSquares);
        }

        /** {@return standard error of that component, relative to the gradient's length} */
        double resolution() {
            double length = Arrays.stream(exact).map(v -> v * v).sum();
            return Math.sqrt(alongSquares / draws / draws) / length;
        }
    }

    private static List<Distance> distances(Map<String, String> options, int draws) {
        try (Network network = new Network(options)) {
            List<Distance> distances = network.exact.stream().map(Distance::new).toList();
            for (int draw = 0; draw < draws; draw++) {
                List<Matrix> gradients = network.draw(draw);
                for (int i = 0; i < LAYERS; i++) {
                    distances.get(i).add(gradients.get(i));
                }
            }
            return distances;
        }
    }

    private static void assertUnbiased(Map<String, String> options, int draws, double resolution) {
        List<Distance> distances = distances(options, draws);
        for (int i = 0; i < LAYERS; i++) {
            Distance distance = distances.get(i);
            assertTrue(distance.largest() < 5, "layer " + i + ": an element is off by " + distance.largest());
            assertTrue(distance.alongExact() < 5, "layer " + i + ": its length is off by " + distance.alongExact());
            assertTrue(
                    distance.resolution() < resolution,
                    "layer " + i + ": a bias of " + 5 * distance.resolution() + " would pass");
        }
    }

    private static void assertBiased(Map<String, String> options, int draws) {
        List<Distance> distances = distances(options, draws);
        for (int i = 0; i < LAYERS; i++) {
            double off = Math.max(distances.get(i).largest(), distances.get(i).alongExact());
            assertTrue(off > 5, "layer " + i + " is off by only " + off);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"lss", "z", "none"})
    void meanIsTheGradientOfTheQuantizedForwardPassInEveryLayer(String sampling) {
        assertUnbiased(Map.of("sampling", sampling), 400, 0.01);
    }

    @ParameterizedTest
    @ValueSource(strings = {"lss", "none"})
    void releasedSplitIsBiasedInEveryLayer(String sampling) {
        assertBiased(Map.of("split", "r", "sampling", sampling), 400);
    }

    @Test
    @Tag("slow")
    void meanOfTenThousandDrawsIsTheGradientOfTheQuantizedForwardPassInEveryLayer() {
        assertUnbiased(Map.of(), 10_000, 0.0025);
    }

    @Test
    @Tag("slow")
    void meanOfTenThousandReleasedDrawsIsBiasedInEveryLayer() {
        assertBiased(Map.of("split", "r"), 10_000);
    }
}
