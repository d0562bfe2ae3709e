package dev.nibble.models.encoder;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import dev.nibble.models.text.FileTokenizer;
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
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * The forward pass of a real sentence encoder, all-MiniLM-L6-v2, beside ONNX Runtime's. Both libraries and the weights come to 125 MB, so
 * they are dependencies of the profile with the slow tests alone.
 */
@Tag("slow")
class OnnxRuntimeTests {
    private static final List<String> SENTENCES = List.of(
            "The quick brown fox jumps over the lazy dog.",
            "Call me Ishmael.",
            "Some years ago - never mind how long precisely - having little or no money in my purse, and nothing particular"
                    + " to interest me on shore, I thought I would sail about a little and see the watery part of the world.",
            "Quantisierung: f\u00fcr 4 Bit? \u6771\u4eac, na\u00efve caf\u00e9; 3.14159 & <b>HTML</b> \uD83D\uDE00",
            "ok");
    private static final int MOST = 64; // tokens
    // Both round each of some 10,000 operations of a path to FP32, in different orders. Norms keep the vectors'
    // elements near 1.
    private static final double TOLERANCE = 1e-4;

    private static Path extract(Path folder, String resource, String name) throws IOException {
        Path file = folder.resolve(name);
        try (InputStream in = OnnxRuntimeTests.class.getClassLoader().getResourceAsStream(resource)) {
            Files.copy(in, file);
        }
        return file;
    }

    private static float[][] runtime(Path model, int[] ids) throws OrtException {
        OrtEnvironment environment = OrtEnvironment.getEnvironment();
        long[] ones = new long[ids.length];
        Arrays.fill(ones, 1);
        try (OrtSession session = environment.createSession(model.toString());
                OnnxTensor tokens = OnnxTensor.createTensor(
                        environment,
                        new long[][] {Arrays.stream(ids).asLongStream().toArray()});
                OnnxTensor mask = OnnxTensor.createTensor(environment, new long[][] {ones});
                OnnxTensor types = OnnxTensor.createTensor(environment, new long[][] {new long[ids.length]});
                OrtSession.Result result =
                        session.run(Map.of("input_ids", tokens, "attention_mask", mask, "token_type_ids", types))) {
            return ((float[][][]) result.get(0).getValue())[0];
        }
    }

    private static Tensor ints(Backend backend, int[] values) {
        Tensor tensor = backend.allocate("test", DType.INT32, Shape.of(values.length), MemoryTag.STATE);
        backend.write(tensor, values);
        return tensor;
    }

    private static Sentences batch(Backend backend, List<int[]> sequences) {
        int rows = sequences.stream().mapToInt(s -> s.length).sum() + 5; // and some that belong to none
        int[] ids = new int[rows];
        int[] places = new int[rows];
        int[] firsts = new int[sequences.size()];
        int[] lengths = new int[sequences.size()];
        int at = 0;
        for (int i = 0; i < lengths.length; i++) {
            firsts[i] = at;
            lengths[i] = sequences.get(i).length;
            for (int place = 0; place < lengths[i]; place++) {
                ids[at] = sequences.get(i)[place];
                places[at++] = place;
            }
        }
        return new Sentences(
                ints(backend, ids),
                ints(backend, places),
                ints(backend, new int[rows]),
                ints(backend, firsts),
                lengths);
    }

    @Test
    void everyVectorOfRealSentencesIsThatOfOnnxRuntime(@TempDir Path folder) throws IOException, OrtException {
        Path model = extract(folder, "all-minilm-l6-v2.onnx", "model.onnx");
        Path words = extract(folder, "all-minilm-l6-v2-tokenizer.json", "tokenizer.json");
        List<int[]> sequences = new ArrayList<>();
        try (FileTokenizer tokenizer = FileTokenizer.open(words, MOST)) {
            SENTENCES.forEach(
                    sentence -> sequences.add(tokenizer.encode(sentence, MOST).tokens()));
        }
        assertEquals("[101, 2655, 2033, 2003, 22444, 2884, 1012, 102]", Arrays.toString(sequences.get(1)));
        QuantizerProvider fp32 = Plugins.quantizers().get("fp32");
        try (Backend backend = Plugins.openBackend("auto", BackendOptions.withSeed(1));
                EncoderWeights weights = EncoderWeights.open(model);
                Encoder encoder = new Encoder(
                        backend,
                        weights.shape(12, 2),
                        weights.or(FirstValues.drawn(1), List.of()),
                        layer -> fp32.create(OptionValues.of("fp32", fp32.options(), Map.of()))
                                .linear(layer));
                Sentences batch = batch(backend, sequences)) {
            Tensor encoded;
            try (StepScope scope = backend.beginStep(StepContext.eval(0))) {
                encoded = encoder.encode(scope, batch).share();
            }
            float[] vectors = backend.readFloats(encoded); // [rows, width]
            encoded.close();
            int row = 0;
            double worst = 0;
            for (int[] sequence : sequences) {
                for (float[] expected : runtime(model, sequence)) {
                    for (int i = 0; i < expected.length; i++) {
                        worst = Math.max(worst, Math.abs(expected[i] - vectors[row * expected.length + i]));
                    }
                    row++;
                }
            }
            assertTrue(worst < TOLERANCE, "off by " + worst);
            assertTrue(worst > 0, "two programs that round in different orders agree to the last bit");
        }
    }
}
