package dev.nibble.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.models.text.ByteLevelTokenizer;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Runs on a folder of texts, with a tokenizer. */
class TokenizedRunTests extends ResumeFixture {
    private Path text;
    private Path tokens;
    private Path tokenizer;

    @BeforeEach
    void writeText() throws IOException {
        tokenizer = ByteLevelTokenizer.write(folder);
        tokens = folder.resolve("tokens.bin");
        text = Files.createDirectories(folder.resolve("text"));
        Files.writeString(text.resolve("a.txt"), "in the sea the whale, in the whale a man\n".repeat(20));
        Files.writeString(text.resolve("b.txt"), "a man in the sea; the sea is in the man\n".repeat(20));
    }

    private RunConfig config(String style, String quantizer) {
        return config(quantizer)
                .with("model.style", style)
                .with("model.tokenizer", tokenizer.toString())
                .with("data.path", text.toString())
                .with("data.tokens", tokens.toString());
    }

    @Test
    void resumedRunHasTheBitsOfOneWithoutABreak() throws IOException {
        RunConfig config = config("gpt2", "int8-row");
        RunResult whole = train("whole", config, Start.NEW);
        assertEquals(RunResult.Status.COMPLETED, whole.status(), whole.message());
        assertEquals(
                RunResult.Status.INTERRUPTED,
                train("broken", config, Start.NEW, 2).status());
        Files.delete(tokens); // they are made again
        RunResult broken = train("broken", config, Start.RESUME);
        assertEquals(RunResult.Status.COMPLETED, broken.status(), broken.message());
        snapshot("broken").assertSameAs(snapshot("whole"));
    }

    @Test
    void perplexityAndBitsPerByteStandBesideTheLoss() throws IOException {
        RunResult result = train("run", config("llama", "fp32"), Start.NEW);
        Evaluation last = result.evaluations().getLast();
        assertEquals(Math.exp(last.validationLoss()), last.score("perplexity"), 0);
        long bytes = 0;
        for (String name : new String[] {"a.txt", "b.txt"}) {
            bytes += Files.size(text.resolve(name));
        }
        double bytesPerToken = bytes / ((Files.size(tokens) - 104) / 2.0);
        assertTrue(bytesPerToken > 1.3, "a token has " + bytesPerToken + " bytes");
        assertEquals(
                last.validationLoss() / Math.log(2) / bytesPerToken,
                last.score("bitsPerByte"),
                1e-12 * last.validationLoss());
        assertEquals(last.score("perplexity"), result.summary().get("perplexity"));
        assertTrue(result.modelSummary().contains("vocabulary " + ByteLevelTokenizer.SIZE), result.modelSummary());
    }

    @Test
    void bytesHaveTheBitsOfTheirLoss() {
        RunResult result = train("run", config("fp32"), Start.NEW);
        Evaluation last = result.evaluations().getLast();
        assertEquals(last.validationLoss() / Math.log(2), last.score("bitsPerByte"), 0);
    }
}
