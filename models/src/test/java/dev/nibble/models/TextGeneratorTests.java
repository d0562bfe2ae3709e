package dev.nibble.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
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
        StringBuilder heard = new StringBuilder();
        TextGenerator.Continuation continuation = generator.generate(prompt, most, sampling, heard::append);
        assertEquals(continuation.text(), heard.toString());
        assertEquals(most, continuation.tokens().size());
        return continuation.text();
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
            // the last 16 bytes give the rest
            String known = ("0123456789abcdef" + whole).substring(10, 26);
            assertEquals(whole.substring(10), text(generator, known, 10, GREEDY));
            // one token after the other gives what all together give
            StringBuilder single = new StringBuilder("ab");
            for (int i = 0; i < 10; i++) {
                single.append(text(generator, single.toString(), 1, GREEDY));
            }
            assertEquals(single.substring(2), text(generator, "ab", 10, GREEDY));
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
            assertEquals(text(generator, "x", 20, GREEDY), text(generator, "x", 20, GREEDY));
        }
    }

    @Test
    void tokensOfATokenizerBecomeText() throws IOException {
        Path tokenizer = ByteLevelTokenizer.write(folder);
        Checkpoint checkpoint = trained(RunFixture.tiny()
                .with("model.tokenizer", tokenizer.toString())
                .with("data.tokens", folder.resolve("tokens.bin").toString()));
        try (TextGenerator generator = open(checkpoint, Optional.empty())) {
            TextGenerator.Continuation text = generator.generate("in the", 30, SAMPLED, _ -> {});
            assertEquals(List.of(259, 258), text.prompt());
            assertEquals(30, text.tokens().size());
        }
        Path moved = Files.move(tokenizer, folder.resolve("moved.json"));
        assertThrows(RuntimeException.class, () -> open(checkpoint, Optional.empty()));
        try (TextGenerator generator = RUNS.generator(checkpoint, "auto", 0, Optional.empty(), Optional.of(moved))) {
            assertTrue(
                    generator.generate("in the", 3, SAMPLED, _ -> {}).tokens().size() == 3);
        }
    }

    @Test
    void listenerEndsTheText() {
        Checkpoint checkpoint = trained(RunFixture.tiny());
        try (TextGenerator generator = open(checkpoint, Optional.empty())) {
            List<String> parts = new ArrayList<>();
            TextGenerator.Continuation text = generator.generate("x", 50, GREEDY, new TextListener() {
                @Override
                public void text(String part) {
                    parts.add(part);
                }

                @Override
                public boolean stopRequested() {
                    return parts.size() >= 3;
                }
            });
            assertTrue(text.tokens().size() < 10, text.toString());
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
