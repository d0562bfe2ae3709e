package dev.nibble.models;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.models.layers.Decoder;
import dev.nibble.models.layers.DecoderShape;
import dev.nibble.models.layers.KeyValueCache;
import dev.nibble.spi.Backend;
import dev.nibble.spi.BackendOptions;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.OptionValues;
import dev.nibble.spi.Plugins;
import dev.nibble.spi.QuantizerProvider;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class CachedLogitsTests {
    private static final int CONTEXT = 9;
    private static final int VOCABULARY = 23;
    private static final int STEP = 3;

    private static DecoderShape shape(String style) {
        return style.equals("gpt2")
                ? DecoderShape.gpt2(VOCABULARY, CONTEXT, 24, 3, 40, 2)
                : new DecoderShape(VOCABULARY, 24, 3, 40, 2, false);
    }

    private static LinearQuantizer quantizer(String name, LinearLayer layer) {
        QuantizerProvider provider = Plugins.quantizers().get(name);
        return provider.create(OptionValues.of(name, provider.options(), Map.of()))
                .linear(layer);
    }

    private static Decoder decoder(Backend backend, String style, String quantizer) {
        return new Decoder(backend, shape(style), 7, layer -> quantizer(quantizer, layer));
    }

    /** Texts of one length. */
    private static List<List<Integer>> texts(int count, int length) {
        SplittableRandom random = new SplittableRandom(11);
        List<List<Integer>> texts = new ArrayList<>();
        for (int text = 0; text < count; text++) {
            texts.add(random.ints(100, 0, VOCABULARY).limit(length).boxed().toList());
        }
        return texts;
    }

    private static List<List<Integer>> begin(List<List<Integer>> texts, int length) {
        return texts.stream().map(text -> text.subList(0, length)).toList();
    }

    @ParameterizedTest
    @CsvSource({"llama, cpu, 1", "llama, cpu, 3", "gpt2, cpu, 2", "llama, reference, 1", "gpt2, reference, 1"})
    void logitsHaveTheBitsOfWholeWindowsBeyondTheirEnd(String style, String backendName, int count) {
        List<List<Integer>> all = texts(count, 3 * CONTEXT);
        try (Backend backend = Plugins.openBackend(backendName, BackendOptions.withSeed(1));
                Decoder model = decoder(backend, style, "fp32");
                NextLogits cached = new CachedLogits(backend, model, STEP, count, CONTEXT);
                NextLogits whole = new WindowLogits(backend, model, STEP, count, CONTEXT)) {
            for (int length = 4; length <= 3 * CONTEXT; length++) {
                List<float[]> expected = whole.of(begin(all, length));
                List<float[]> actual = cached.of(begin(all, length));
                for (int text = 0; text < count; text++) {
                    assertArrayEquals(expected.get(text), actual.get(text), "text " + text + ", length " + length);
                }
            }
            // another text, which does not go on with the first
            assertArrayEquals(
                    whole.of(begin(all, 2)).getFirst(), cached.of(begin(all, 2)).getFirst());
        }
    }

    /** Negative control: what the cache holds, and where a token stands, count. */
    @ParameterizedTest
    @ValueSource(strings = {"llama", "gpt2"})
    void anotherPositionGivesOtherLogits(String style) {
        try (Backend backend = Plugins.openBackend("cpu", BackendOptions.withSeed(1));
                Decoder model = decoder(backend, style, "fp32")) {
            float[] right = last(backend, model, 4);
            assertArrayEquals(right, last(backend, model, 4));
            assertFalse(Arrays.equals(right, last(backend, model, 3)));
            assertFalse(Arrays.equals(right, last(backend, model, 5))); // sees a position where nothing is
        }
    }

    /** Logits of a fifth token at a position, behind four. */
    private static float[] last(Backend backend, Decoder model, int place) {
        try (KeyValueCache cache = model.cache(1, CONTEXT)) {
            next(backend, model, cache, new int[] {5, 3, 8, 1}, new int[] {0, 1, 2, 3});
            return next(backend, model, cache, new int[] {2}, new int[] {place});
        }
    }

    private static float[] next(Backend backend, Decoder model, KeyValueCache cache, int[] ids, int[] places) {
        Tensor kept;
        try (Tensor idTensor = integers(backend, ids);
                Tensor placeTensor = integers(backend, places);
                StepScope scope = backend.beginStep(StepContext.eval(STEP));
                Tensor logits = model.next(scope, idTensor, placeTensor, cache)) {
            kept = logits.share();
        }
        try (kept) {
            return backend.readFloats(kept);
        }
    }

    private static Tensor integers(Backend backend, int[] values) {
        Tensor tensor = backend.allocate("test", DType.INT32, Shape.of(values.length), MemoryTag.STATE);
        backend.write(tensor, values);
        return tensor;
    }

    @Test
    void theCacheIsCountedAndFreed() {
        try (Backend backend = Plugins.openBackend("cpu", BackendOptions.withSeed(1));
                Decoder model = decoder(backend, "llama", "fp32")) {
            long before = backend.memory().live(MemoryTag.STATE);
            try (KeyValueCache cache = model.cache(3, CONTEXT)) {
                assertEquals(2L * 3 * CONTEXT * 2 * 24 * Float.BYTES, cache.bytes()); // blocks, texts, places, k and v
                assertEquals(before + cache.bytes(), backend.memory().live(MemoryTag.STATE));
            }
            assertEquals(before, backend.memory().live(MemoryTag.STATE));
            String message = assertThrows(RuntimeException.class, () -> model.cache(1 << 23, CONTEXT))
                    .getMessage();
            assertTrue(message.startsWith("blocks.0.attn.cache "), message);
            assertEquals(before, backend.memory().live(MemoryTag.STATE));
        }
    }
}
