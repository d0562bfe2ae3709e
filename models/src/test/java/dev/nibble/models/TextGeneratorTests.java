package dev.nibble.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.models.checkpoint.Checkpoint;
import dev.nibble.models.checkpoint.CheckpointStore;
import dev.nibble.models.text.ByteLevelTokenizer;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class TextGeneratorTests {
    private static final TokenSampling GREEDY = new TokenSampling(0, 0, 1, 0);
    private static final TokenSampling SAMPLED = new TokenSampling(1, 50, 0.9, 4);
    private static final Runs RUNS = Runs.create();

    @TempDir
    Path folder;

    private Checkpoint trained(RunConfig config) {
        RunResult result = new RunFolder(folder.resolve("run"), new RunOrigin("test", "1", List.of(), Map.of()))
                .train(RUNS, config, new RunListener() {}, Start.NEW);
        assertEquals(RunResult.Status.COMPLETED, result.status(), result.message());
        return new CheckpointStore(folder.resolve("run").resolve(CheckpointStore.FOLDER))
                .newest(new ArrayList<>())
                .orElseThrow();
    }

    private static TextGenerator open(Checkpoint checkpoint, Optional<QuantizerChoice> quantizer) {
        return RUNS.generator(checkpoint, "auto", 0, quantizer, Optional.empty());
    }

    private static String text(TextGenerator generator, String prompt, int most, TokenSampling sampling) {
        return text(generator, prompt, new GenerationSpec(most, sampling));
    }

    private static String text(TextGenerator generator, String prompt, GenerationSpec spec) {
        return texts(generator, prompt, spec).getFirst();
    }

    /** Texts that no stop ends. */
    private static List<String> texts(TextGenerator generator, String prompt, GenerationSpec spec) {
        List<StringBuilder> heard = new ArrayList<>();
        for (int sample = 0; sample < spec.samples(); sample++) {
            heard.add(new StringBuilder());
        }
        List<TextGenerator.Continuation> samples = generator
                .generate(prompt, spec, (sample, part) -> heard.get(sample).append(part))
                .samples();
        assertEquals(spec.samples(), samples.size());
        for (int sample = 0; sample < spec.samples(); sample++) {
            TextGenerator.Continuation continuation = samples.get(sample);
            assertEquals(continuation.text(), heard.get(sample).toString());
            assertEquals(spec.tokens(), continuation.tokens().size());
            assertEquals(TextGenerator.End.LENGTH, continuation.end());
        }
        return samples.stream().map(TextGenerator.Continuation::text).toList();
    }

    @ParameterizedTest
    @CsvSource({"llama, int8-fallback", "llama, int4", "gpt2, luq", "gpt2, fp8"})
    void textIsAFunctionOfCheckpointAndSeed(String style, String quantizer) {
        Checkpoint checkpoint =
                trained(RunFixture.tiny().with("model.style", style).withQuantizer(QuantizerChoice.parse(quantizer)));
        String first;
        try (TextGenerator generator = open(checkpoint, Optional.empty())) {
            first = text(generator, "Call me ", 40, SAMPLED); // longer than the context of 16
            assertEquals(16, generator.context());
            assertNotEquals(first, text(generator, "Call me ", 40, new TokenSampling(1, 50, 0.9, 5)));
            assertNotEquals(first, text(generator, "Call we ", 40, SAMPLED));
        }
        try (TextGenerator again = open(checkpoint, Optional.empty())) {
            assertEquals(first, text(again, "Call me ", 40, SAMPLED));
        }
    }

    @Test
    void aTokenDependsOnTheContextBeforeItAlone() {
        Checkpoint checkpoint = trained(RunFixture.tiny().withSteps(40)); // so that it writes characters of one byte
        try (TextGenerator generator = open(checkpoint, Optional.empty())) {
            String whole = text(generator, "0123456789abcdef", 20, GREEDY);
            // the 17th token comes after all 16, the next nine after the last 8 and what they have become
            String known = ("0123456789abcdef" + whole).substring(9, 17);
            assertEquals(whole.substring(1, 9), text(generator, known, 8, GREEDY));
            // one token after the other gives what all together give
            StringBuilder single = new StringBuilder("ab");
            for (int i = 0; i < 10; i++) {
                single.append(text(generator, single.toString(), 1, GREEDY));
            }
            assertEquals(single.substring(2), text(generator, "ab", 10, GREEDY));
        }
    }

    @ParameterizedTest
    @CsvSource({"llama, fp32", "gpt2, fp32", "gpt2, int8-row"})
    void cacheAndWindowWriteTheSame(String style, String quantizer) {
        Checkpoint checkpoint =
                trained(RunFixture.tiny().with("model.style", style).withQuantizer(QuantizerChoice.parse(quantizer)));
        try (TextGenerator generator = open(checkpoint, Optional.empty())) {
            GenerationSpec spec = new GenerationSpec(50, SAMPLED); // three times the context
            assertEquals(text(generator, "Call me ", spec.withoutCache()), text(generator, "Call me ", spec));
            assertTrue(generator.generate("x", spec, (_, _) -> {}).cacheBytes() > 0);
            assertEquals(
                    0,
                    generator.generate("x", spec.withoutCache(), (_, _) -> {}).cacheBytes());
        }
    }

    @Test
    void samplesAreTextsOfTheirOwn() {
        Checkpoint checkpoint = trained(RunFixture.tiny());
        try (TextGenerator generator = open(checkpoint, Optional.of(QuantizerChoice.of("fp32")))) {
            GenerationSpec spec = new GenerationSpec(30, SAMPLED);
            List<String> three = texts(generator, "Call me ", spec.withSamples(3));
            assertEquals(three.getFirst(), text(generator, "Call me ", spec));
            assertEquals(three.subList(0, 2), texts(generator, "Call me ", spec.withSamples(2)));
            assertEquals(3, new HashSet<>(three).size(), three.toString());
            assertEquals(three, texts(generator, "Call me ", spec.withSamples(3).withoutCache()));
        }
    }

    @Test
    void aStopEndsOneTextAndNotTheOthers() {
        Checkpoint checkpoint = trained(RunFixture.tiny());
        try (TextGenerator generator = open(checkpoint, Optional.of(QuantizerChoice.of("fp32")))) {
            List<String> whole = texts(generator, "Call me ", new GenerationSpec(30, SAMPLED).withSamples(2));
            String stop = whole.getFirst().substring(3, 5);
            List<StringBuilder> heard = List.of(new StringBuilder(), new StringBuilder());
            List<TextGenerator.Continuation> samples = generator
                    .generate(
                            "Call me ",
                            new GenerationSpec(30, 2, SAMPLED, true, List.of("never", stop)),
                            (sample, part) -> heard.get(sample).append(part))
                    .samples();
            for (int sample = 0; sample < 2; sample++) {
                int at = whole.get(sample).indexOf(stop);
                String expected = at < 0 ? whole.get(sample) : whole.get(sample).substring(0, at);
                assertEquals(expected, samples.get(sample).text());
                assertEquals(expected, heard.get(sample).toString());
                assertEquals(
                        at < 0 ? TextGenerator.End.LENGTH : TextGenerator.End.STOP,
                        samples.get(sample).end());
            }
        }
    }

    @Test
    void everyOtherQuantizerGoesOn() {
        Checkpoint checkpoint = trained(RunFixture.tiny().withQuantizer(QuantizerChoice.of("int8-row")));
        for (String quantizer : List.of(
                "fp32",
                "bf16",
                "int4",
                "luq",
                "int8-row",
                "int8-block",
                "int8-fallback",
                "fp8",
                "fp8:scaling=delayed")) {
            try (TextGenerator generator = open(checkpoint, Optional.of(QuantizerChoice.parse(quantizer)))) {
                assertEquals(text(generator, "x", 5, GREEDY), text(generator, "x", 5, GREEDY), quantizer);
            }
        }
    }

    @Test
    void quantizedAttentionGoesOn() {
        Checkpoint checkpoint = trained(
                RunFixture.tiny().with("model.attention", "quantized").withQuantizer(QuantizerChoice.of("int8-row")));
        try (TextGenerator generator = open(checkpoint, Optional.empty())) {
            assertFalse(generator.isCacheable());
            assertEquals(text(generator, "x", 20, GREEDY), text(generator, "x", 20, GREEDY));
            GenerationSpec spec = new GenerationSpec(20, GREEDY);
            assertEquals(text(generator, "x", spec.withoutCache()), text(generator, "x", spec));
            assertEquals(0, generator.generate("x", spec, (_, _) -> {}).cacheBytes());
        }
    }

    @Test
    void tokensOfATokenizerBecomeText() throws IOException {
        Path tokenizer = ByteLevelTokenizer.write(folder);
        Checkpoint checkpoint = trained(RunFixture.tiny()
                .with("model.tokenizer", tokenizer.toString())
                .with("data.tokens", folder.resolve("tokens.bin").toString()));
        try (TextGenerator generator = open(checkpoint, Optional.empty())) {
            TextGenerator.Continuation text = generator
                    .generate("in the", new GenerationSpec(30, SAMPLED), (_, _) -> {})
                    .samples()
                    .getFirst();
            assertEquals(List.of(259, 258), text.prompt());
            assertEquals(30, text.tokens().size());
        }
        Path moved = Files.move(tokenizer, folder.resolve("moved.json"));
        assertThrows(RuntimeException.class, () -> open(checkpoint, Optional.empty()));
        try (TextGenerator generator = RUNS.generator(checkpoint, "auto", 0, Optional.empty(), Optional.of(moved))) {
            text(generator, "in the", 3, SAMPLED);
        }
    }

    @Test
    void listenerEndsTheText() {
        Checkpoint checkpoint = trained(RunFixture.tiny());
        try (TextGenerator generator = open(checkpoint, Optional.empty())) {
            List<String> parts = new ArrayList<>();
            TextListener listener = new TextListener() {
                @Override
                public void text(int sample, String part) {
                    parts.add(part);
                }

                @Override
                public boolean stopRequested() {
                    return parts.size() >= 3;
                }
            };
            TextGenerator.Continuation text = generator
                    .generate("x", new GenerationSpec(50, GREEDY), listener)
                    .samples()
                    .getFirst();
            assertEquals(3, text.tokens().size(), text.toString());
            assertEquals(TextGenerator.End.INTERRUPTED, text.end());
        }
    }

    @Test
    void promptsThatDoNotFitAreRefused() {
        Checkpoint checkpoint = trained(RunFixture.tiny());
        try (TextGenerator generator = open(checkpoint, Optional.empty())) {
            assertEquals(
                    "the prompt has no token, but must have at least one",
                    assertThrows(IllegalArgumentException.class, () -> text(generator, "", 1, GREEDY))
                            .getMessage());
            assertEquals(
                    "the prompt has 17 tokens, but the model sees at most 16 at once; shorten it",
                    assertThrows(IllegalArgumentException.class, () -> text(generator, "x".repeat(17), 1, GREEDY))
                            .getMessage());
        }
    }

    @Test
    void aTokenizerOfAnotherVocabularyIsRefused() throws IOException {
        Checkpoint checkpoint = trained(RunFixture.tiny());
        Path tokenizer = ByteLevelTokenizer.write(folder);
        RuntimeException e = assertThrows(
                RuntimeException.class,
                () -> RUNS.generator(checkpoint, "auto", 0, Optional.empty(), Optional.of(tokenizer)));
        assertTrue(e.getMessage().contains("embedding.weight"), e.getMessage());
        assertTrue(e.getMessage().contains("must be F32 [" + ByteLevelTokenizer.SIZE), e.getMessage());
    }
}
