package dev.nibble.models.encoder;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.error.FormatException;
import dev.nibble.models.layers.Parameter;
import dev.nibble.models.layers.QuantizedLayer;
import dev.nibble.models.onnx.OnnxBytes;
import dev.nibble.models.safetensors.ElementType;
import dev.nibble.models.safetensors.SafetensorsWriter;
import dev.nibble.models.safetensors.TensorContent;
import dev.nibble.spi.Backend;
import dev.nibble.spi.BackendOptions;
import dev.nibble.spi.OptionValues;
import dev.nibble.spi.Plugins;
import dev.nibble.spi.QuantizerProvider;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class EncoderTests {
    private static final EncoderShape SHAPE = new EncoderShape(7, 6, 2, 8, 2, 5, 2, 3);
    private static final int[][] SEQUENCES = {{1, 4, 2}, {1, 2}, {1, 6, 5, 3, 0, 2}};
    private static final int[] TARGETS = {0, 2, 1};
    private static final int ROWS = 16; // five belong to no sequence
    // of a path through the model and back: each block has products of 3·8 and 5 terms, two norms, attention over 6
    // keys, GELU
    private static final int ROUNDINGS = 3 * (3 + 2 * (3 * 8 + 5 + 2 * (2 * 8 + 10) + 4 + 12 + 16 + 8) + 8 + 3 + 8);
    private static final double UNIT_ROUNDOFF = 0x1p-24;
    private static final double GELU_ERROR =
            1.5e-7; // of Φ, see ReferenceGelu, in each of the blocks, forward and backward
    private static final double H = 1e-5;

    private static Backend backend() {
        return Plugins.openBackend("auto", BackendOptions.withSeed(1));
    }

    private static Encoder encoder(Backend backend, FirstValues values) {
        QuantizerProvider fp32 = Plugins.quantizers().get("fp32");
        return new Encoder(
                backend,
                SHAPE,
                values,
                layer -> fp32.create(OptionValues.of("fp32", fp32.options(), Map.of()))
                        .linear(layer));
    }

    /** Large enough that every gradient counts. */
    private static FirstValues random(long seed) {
        SplittableRandom random = new SplittableRandom(seed);
        return (name, _, shape) -> {
            float[] values = new float[(int) shape.elements()];
            for (int i = 0; i < values.length; i++) {
                values[i] = (float) (2 * random.nextDouble() - 1);
            }
            return values;
        };
    }

    private static Tensor ints(Backend backend, int... values) {
        Tensor tensor = backend.allocate("test", DType.INT32, Shape.of(values.length), MemoryTag.STATE);
        backend.write(tensor, values);
        return tensor;
    }

    private static Sentences batch(Backend backend) {
        int[] ids = new int[ROWS];
        int[] places = new int[ROWS];
        int[] firsts = new int[SEQUENCES.length];
        int[] lengths = new int[SEQUENCES.length];
        int at = 0;
        for (int i = 0; i < SEQUENCES.length; i++) {
            firsts[i] = at;
            lengths[i] = SEQUENCES[i].length;
            for (int place = 0; place < lengths[i]; place++) {
                ids[at] = SEQUENCES[i][place];
                places[at++] = place;
            }
        }
        return new Sentences(
                ints(backend, ids),
                ints(backend, places),
                ints(backend, new int[ROWS]),
                ints(backend, firsts),
                lengths);
    }

    private static double step(Backend backend, Encoder encoder) {
        Tensor loss = backend.allocate("loss", DType.FP32, Shape.of(1), MemoryTag.STATE);
        try (loss;
                Sentences batch = batch(backend);
                Tensor targets = ints(backend, TARGETS)) {
            backend.write(loss, new float[1]);
            try (StepScope scope = backend.beginStep(StepContext.train(0, 0.1f));
                    Tensor logits = encoder.forward(scope, batch)) {
                backend.neural().crossEntropy(scope, logits, targets, loss, 1, true);
                encoder.backward(scope, batch, logits);
            }
            encoder.linears().forEach(QuantizedLayer::releaseWeight);
            return backend.readFloats(loss)[0];
        }
    }

    @Test
    void lossAndEveryGradientAreThoseOfTheModelInDouble() {
        try (Backend backend = backend();
                Encoder encoder = encoder(backend, random(3))) {
            Map<String, double[]> weights = new HashMap<>();
            for (Parameter parameter : encoder.parameters()) {
                float[] values = backend.readFloats(parameter.value());
                double[] exact = new double[values.length];
                for (int i = 0; i < exact.length; i++) {
                    exact[i] = values[i];
                }
                weights.put(parameter.name(), exact);
            }
            DoubleEncoder model = new DoubleEncoder(SHAPE, weights);
            double bound = ROUNDINGS * UNIT_ROUNDOFF + 4 * SHAPE.layers() * GELU_ERROR;
            double loss = step(backend, encoder);
            double expected = model.loss(SEQUENCES, TARGETS);
            assertEquals(expected, loss, bound * expected);
            assertEquals(3 + 2 + SHAPE.layers() * 12 + 2, encoder.parameters().size());
            for (Parameter parameter : encoder.parameters()) {
                double[] values = weights.get(parameter.name());
                float[] gradient = backend.readFloats(parameter.gradient());
                double largest = 0;
                double worst = 0;
                for (int i = 0; i < values.length; i++) {
                    double before = values[i];
                    values[i] = before + H;
                    double above = model.loss(SEQUENCES, TARGETS);
                    values[i] = before - H;
                    double slope = (above - model.loss(SEQUENCES, TARGETS)) / (2 * H);
                    values[i] = before;
                    largest = Math.max(largest, Math.abs(slope));
                    worst = Math.max(worst, Math.abs(slope - gradient[i]));
                }
                boolean keyBias = parameter.name().endsWith("qkv.bias"); // that of k has no effect, the others do
                assertTrue(largest > 1e-4 || keyBias, parameter.name() + " has gradients of " + largest + " alone");
                assertTrue(
                        worst < bound * Math.max(1, largest) && worst < largest / 100,
                        "%s is off by %s, at most %s".formatted(parameter.name(), worst, largest));
            }
            assertEquals(0, backend.memory().live(MemoryTag.CONTEXT));
        }
    }

    private static Map<String, float[]> read(Path file) {
        try (Backend backend = backend();
                EncoderWeights weights = EncoderWeights.open(file)) {
            assertEquals(SHAPE, weights.shape(2, 3));
            try (Encoder encoder = encoder(backend, weights.or(random(8), List.of()))) {
                Map<String, float[]> values = new HashMap<>();
                encoder.parameters().forEach(p -> values.put(p.name(), backend.readFloats(p.value())));
                return values;
            }
        }
    }

    @Test
    void weightsAreReadFromSafetensorsAndOnnx(@TempDir Path folder) throws IOException {
        Map<String, float[]> expected = new HashMap<>();
        List<TensorContent> tensors = new ArrayList<>();
        OnnxBytes graph = new OnnxBytes();
        try (Backend backend = backend();
                Encoder encoder = encoder(backend, random(4))) {
            for (Parameter parameter : encoder.parameters()) {
                float[] all = backend.readFloats(parameter.value());
                expected.put(parameter.name(), all);
                List<String> names = EncoderNames.of(parameter.name()).orElse(List.of());
                for (int part = 0; part < names.size(); part++) {
                    List<Long> dims = new ArrayList<>(parameter.value().shape().dims());
                    dims.set(0, dims.getFirst() / names.size());
                    int length = all.length / names.size();
                    float[] values = Arrays.copyOfRange(all, part * length, (part + 1) * length);
                    tensors.add(TensorContent.floats(
                            "bert." + names.get(part), ElementType.F32, new Shape(dims), () -> values));
                    add(graph, names.get(part), dims, values);
                }
            }
        }
        Path safetensors = folder.resolve("m.safetensors");
        SafetensorsWriter.write(safetensors, Map.of(), tensors);
        Path onnx = Files.write(folder.resolve("m.onnx"), OnnxBytes.model(graph));
        for (Path file : List.of(safetensors, onnx)) {
            Map<String, float[]> actual = read(file);
            for (String name : expected.keySet()) {
                if (!name.startsWith("head.")) {
                    assertArrayEquals(expected.get(name), actual.get(name), name);
                }
            }
        }
    }

    /** A matrix of a linear layer loses its name and is turned, as PyTorch writes it. */
    private static void add(OnnxBytes graph, String name, List<Long> dims, float[] values) {
        if (!name.endsWith(".weight") || dims.size() == 1 || name.startsWith("embeddings.")) {
            graph.message(
                    5,
                    OnnxBytes.tensor(
                            name, values, dims.stream().mapToLong(d -> d).toArray()));
            return;
        }
        int rows = Math.toIntExact(dims.getFirst());
        int cols = Math.toIntExact(dims.getLast());
        float[] turned = new float[values.length];
        for (int i = 0; i < values.length; i++) {
            turned[i % cols * rows + i / cols] = values[i];
        }
        graph.message(5, OnnxBytes.tensor("MatMul of " + name, turned, cols, rows));
        graph.message(1, OnnxBytes.node("MatMul", "x", "MatMul of " + name, "y of " + name));
        String bias = name.substring(0, name.length() - "weight".length()) + "bias";
        graph.message(1, OnnxBytes.node("Add", bias, "y of " + name, "z of " + name));
    }

    @Test
    void filesThatHoldNoEncoderAreRefused(@TempDir Path folder) throws IOException {
        Path empty = Files.write(folder.resolve("m.onnx"), OnnxBytes.model(new OnnxBytes()));
        assertTrue(assertThrows(FormatException.class, () -> EncoderWeights.open(empty))
                .getMessage()
                .contains("holds no tensor 'embeddings.word_embeddings.weight'"));
        assertTrue(assertThrows(IllegalArgumentException.class, () -> EncoderWeights.open(folder.resolve("m.bin")))
                .getMessage()
                .contains(".safetensors or .onnx"));
        OnnxBytes words =
                new OnnxBytes().message(5, OnnxBytes.tensor("embeddings.word_embeddings.weight", new float[6], 2, 3));
        Path part = Files.write(folder.resolve("p.onnx"), OnnxBytes.model(words));
        try (EncoderWeights weights = EncoderWeights.open(part)) {
            assertTrue(assertThrows(FormatException.class, () -> weights.shape(1, 2))
                    .getMessage()
                    .contains("holds no tensor 'embeddings.position_embeddings.weight'"));
        }
    }
}
