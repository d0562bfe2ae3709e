package dev.nibble.models.layers;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class ResNetGradientTests {
    private static final int IMAGES = 6;
    private static final int SIDE = 4; // of an image, then 2 and 1
    private static final int WIDTH =
            3; // with one channel alive, batch normalization would leave nothing of the gradient
    private static final int CLASSES = 3;
    private static final double EPSILON = 1e-5;

    // A convolution sums at most 9 * 8 * WIDTH products, batch normalization the pixels of all images twice; a
    // bottleneck has the most
    // layers on a way, 3 * 3 + 1, and the backward pass has twice as many operations.
    private static final int ROUNDINGS = 3 * 10 * (9 * 8 * WIDTH + 2 * IMAGES * SIDE * SIDE + 12) + 8 * WIDTH + CLASSES;

    /** Images of some channels in FP64: [images, side, side, channels]. */
    private record Images(double[] values, int side, int channels) {}

    private static ResNet model(LayerFixture fixture, ResNetShape shape) {
        ResNet model =
                new ResNet(fixture.backend, shape, SIDE, SIDE, 5, layer -> LayerFixture.quantizer("fp32", layer));
        for (Parameter parameter : model.parameters()) {
            Shape size = parameter.value().shape();
            float[] values = fixture.uniform(size.elements(), size.rank() == 1 ? 1 : Math.sqrt(6.0 / size.cols()));
            fixture.backend.write(parameter.value(), values);
        }
        return model;
    }

    private static double pixel(Images x, int image, int y, int column, int c) {
        boolean inside = y >= 0 && y < x.side && column >= 0 && column < x.side;
        return inside ? x.values[((image * x.side + y) * x.side + column) * x.channels + c] : 0;
    }

    /** From the definition: a sum over the window and the channels. */
    private static Images convolution(Images x, double[] weight, ResNetShape.Conv conv) {
        int kernel = conv.kernel();
        int out = (int) conv.layer().out();
        int side = Math.ceilDiv(x.side, conv.stride());
        double[] y = new double[IMAGES * side * side * out]; // [images, side, side, out]
        for (int at = 0; at < y.length; at++) {
            int o = at % out;
            int column = at / out % side * conv.stride() - kernel / 2;
            int row = at / out / side % side * conv.stride() - kernel / 2;
            int image = at / out / side / side;
            for (int k = 0; k < kernel * kernel * x.channels; k++) {
                int c = k % x.channels;
                int j = k / x.channels % kernel;
                int i = k / x.channels / kernel;
                y[at] += pixel(x, image, row + i, column + j, c) * weight[o * kernel * kernel * x.channels + k];
            }
        }
        return new Images(y, side, out);
    }

    private static Images batchNorm(Images x, double[] weight, double[] bias) {
        int rows = x.values.length / x.channels;
        double[] y = new double[x.values.length]; // [rows, channels]
        for (int c = 0; c < x.channels; c++) {
            double mean = 0;
            double variance = 0;
            for (int row = 0; row < rows; row++) {
                mean += x.values[row * x.channels + c] / rows;
            }
            for (int row = 0; row < rows; row++) {
                double d = x.values[row * x.channels + c] - mean;
                variance += d * d / rows;
            }
            for (int row = 0; row < rows; row++) {
                int i = row * x.channels + c;
                y[i] = (x.values[i] - mean) / Math.sqrt(variance + EPSILON) * weight[c] + bias[c];
            }
        }
        return new Images(y, x.side, x.channels);
    }

    private static Images unit(Map<String, double[]> w, Images x, ResNetShape.Conv conv, boolean rectified) {
        String name = conv.layer().site().name();
        Images y = batchNorm(
                convolution(x, w.get(name + ".weight"), conv),
                w.get(name + ".norm.weight"),
                w.get(name + ".norm.bias"));
        return rectified ? new Images(DoubleModel.relu(y.values), y.side, y.channels) : y;
    }

    private static double loss(ResNetShape shape, Map<String, double[]> w, double[] pixels, int[] targets) {
        Images x = unit(w, new Images(pixels, SIDE, 1), shape.stem(), true);
        for (int stage = 0; stage < ResNetShape.STAGES; stage++) {
            List<ResNetShape.Conv> branch = shape.branch(stage, 0);
            Images straight = x;
            for (ResNetShape.Conv conv : shape.shortcut(stage, 0)) {
                straight = unit(w, x, conv, false);
            }
            for (int i = 0; i < branch.size(); i++) {
                x = unit(w, x, branch.get(i), i < branch.size() - 1);
            }
            x = new Images(DoubleModel.relu(DoubleModel.add(x.values, straight.values)), x.side, x.channels);
        }
        double[] mean = DoubleModel.meanRows(x.values, x.side * x.side, x.channels);
        return DoubleModel.crossEntropy(DoubleModel.linear(mean, w.get("head.weight"), x.channels), targets);
    }

    @ParameterizedTest
    @EnumSource(ResNetShape.Kind.class)
    void everyGradientIsTheDerivativeOfTheLoss(ResNetShape.Kind kind) {
        ResNetShape shape = new ResNetShape(WIDTH, 1, kind, CLASSES);
        try (LayerFixture fixture = new LayerFixture(41);
                ResNet model = model(fixture, shape)) {
            float[] pixels = fixture.uniform(IMAGES * SIDE * SIDE, 1);
            int[] targets = fixture.tokens(IMAGES, CLASSES);
            double[] exact = LayerFixture.doubles(pixels);
            Map<String, double[]> weights = new HashMap<>();
            model.parameters().forEach(p -> weights.put(p.name(), fixture.values(p)));
            float loss = step(fixture, model, pixels, targets);
            double expectedLoss = loss(shape, weights, exact, targets);
            assertEquals(expectedLoss, loss, ROUNDINGS * GradientCheck.UNIT_ROUNDOFF * expectedLoss);
            for (Parameter parameter : model.parameters()) {
                double[] expected = GradientCheck.centralDifferences(weights.get(parameter.name()), 1e-7, v -> {
                    Map<String, double[]> changed = new HashMap<>(weights);
                    changed.put(parameter.name(), v);
                    return loss(shape, changed, exact, targets);
                });
                float[] gradient = fixture.gradient(parameter);
                double worst = GradientCheck.worst(expected, gradient, ROUNDINGS);
                assertTrue(worst < 1, parameter.name() + " is off by " + worst + " times the bound");
                gradient[gradient.length / 2] += 1e-2f; // a wrong gradient must be seen
                assertTrue(GradientCheck.worst(expected, gradient, ROUNDINGS) > 1, parameter.name());
            }
            assertEquals(0, fixture.backend.memory().live(MemoryTag.CONTEXT));
        }
    }

    private static float step(LayerFixture fixture, ResNet model, float[] pixels, int[] targets) {
        try (Tensor x = fixture.tensor(Shape.of(IMAGES * SIDE * SIDE, 1), pixels);
                Tensor ids = fixture.tensor(new int[IMAGES * SIDE * SIDE]);
                Tensor targetTensor = fixture.tensor(targets);
                Tensor loss = fixture.tensor(Shape.of(1), new float[1])) {
            try (StepScope scope = fixture.backend.beginStep(StepContext.train(0, 0.1f));
                    Tensor logits = model.forward(scope, x, ids)) {
                fixture.backend.neural().crossEntropy(scope, logits, targetTensor, loss, 1, true);
                model.backward(scope, x, ids, logits);
            }
            model.linears().forEach(QuantizedLayer::releaseWeight);
            return fixture.backend.readFloats(loss)[0];
        }
    }

    /** The average moves a tenth of the way from mean 0 and variance 1; an evaluation reads it, and changes nothing. */
    @Test
    void evaluationUsesTheRunningAverages() {
        ResNetShape shape = new ResNetShape(WIDTH, 1, ResNetShape.Kind.BASIC, CLASSES);
        try (LayerFixture fixture = new LayerFixture(42);
                ResNet model = model(fixture, shape)) {
            assertEquals(shape.convolutions().size(), model.averages().size());
            Tensor average = model.averages().get("stem.norm.moments");
            assertArrayEquals(new float[] {0, 0, 0, 1, 1, 1}, fixture.backend.readFloats(average));
            float[] pixels = fixture.uniform(IMAGES * SIDE * SIDE, 1);
            step(fixture, model, pixels, fixture.tokens(IMAGES, CLASSES));
            double[] weight = fixture.values(model.parameters().getFirst()); // of the stem
            Images raw = convolution(new Images(LayerFixture.doubles(pixels), SIDE, 1), weight, shape.stem());
            float[] moved = fixture.backend.readFloats(average);
            for (int c = 0; c < WIDTH; c++) {
                double mean = 0;
                double squares = 0;
                for (int i = c; i < raw.values.length; i += WIDTH) {
                    mean += raw.values[i] * WIDTH / raw.values.length;
                    squares += raw.values[i] * raw.values[i] * WIDTH / raw.values.length;
                }
                // sums of 96 products of 9: about 105 roundings of values up to 2
                double bound = 105 * 4 * GradientCheck.UNIT_ROUNDOFF;
                assertEquals(0.1 * mean, moved[c], bound);
                assertEquals(0.9 + 0.1 * (squares - mean * mean), moved[WIDTH + c], bound);
            }
            try (Tensor x = fixture.tensor(Shape.of(IMAGES * SIDE * SIDE, 1), pixels);
                    Tensor ids = fixture.tensor(new int[IMAGES * SIDE * SIDE]);
                    StepScope scope = fixture.backend.beginStep(StepContext.eval(1))) {
                model.forward(scope, x, ids).close();
                assertEquals(0, fixture.backend.memory().live(MemoryTag.CONTEXT));
            }
            assertArrayEquals(moved, fixture.backend.readFloats(average));
        }
    }
}
