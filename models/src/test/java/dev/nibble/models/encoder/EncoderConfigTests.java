package dev.nibble.models.encoder;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.error.FormatException;
import dev.nibble.models.files.HostileFile;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class EncoderConfigTests {
    private static final String GOOD = "{\"model_type\":\"bert\",\"num_attention_heads\":12,\"layer_norm_eps\":1e-12,"
            + "\"hidden_act\":\"gelu\",\"classifier_dropout\":null,\"id2label\":{\"1\":\"O\",\"0\":\"B-X\"},\"more\":[{}]}";

    private static String refusal(String json) {
        return assertThrows(FormatException.class, () -> EncoderConfig.parse("c.json", json))
                .getMessage();
    }

    @Test
    void headsAndLabelsAreRead() {
        assertEquals(new EncoderConfig(12, List.of("B-X", "O")), EncoderConfig.parse("c.json", GOOD));
        assertEquals(EncoderConfig.NONE, EncoderConfig.parse("c.json", "{}"));
        assertEquals(
                List.of(),
                EncoderConfig.parse("c.json", "{\"id2label\":{\"1\":\"O\"}}").labels());
    }

    @Test
    void anotherModelIsRefused() {
        assertEquals(
                "c.json: model_type is 'gpt2', but must be bert: another model is not computed here",
                refusal(GOOD.replace("bert", "gpt2")));
        assertTrue(
                refusal(GOOD.replace("1e-12", "1e-5")).startsWith("c.json: layer_norm_eps is '1.0E-5', but must be"));
        assertEquals("c.json is no JSON object: it does not begin with '{'", refusal("[]"));
        assertTrue(refusal(GOOD.substring(0, 40)).startsWith("c.json is damaged JSON: "));
    }

    @Test
    void damagedFilesAreReadOrRefused(@TempDir Path folder) throws IOException {
        Path file = folder.resolve("config.json");
        int refused = new HostileFile(
                        file,
                        GOOD.getBytes(StandardCharsets.UTF_8),
                        HostileFile.JSON,
                        path -> EncoderConfig.parse(
                                path.toString(), new String(Files.readAllBytes(path), StandardCharsets.UTF_8)))
                .refusals(1000, 3);
        assertTrue(refused > 100, refused + " of 1000 were refused");
    }
}
