package dev.nibble.models;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.error.FormatException;
import dev.nibble.models.checkpoint.CheckpointFile;
import dev.nibble.models.checkpoint.ModelExport;
import dev.nibble.models.files.JsonFields;
import dev.nibble.models.files.JsonTree;
import dev.nibble.models.safetensors.ElementType;
import dev.nibble.models.safetensors.SafetensorsFile;
import dev.nibble.tensor.Bf16;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Encoders that leave as Hugging Face's transformers have them, and come back. */
class EncoderExportTests extends ResumeFixture {
    private static final Map<String, String> FILES = Map.of("tag", "d.conll", "classify", "d.csv");

    @BeforeEach
    void writeData() throws IOException {
        StringBuilder conll = new StringBuilder();
        StringBuilder csv = new StringBuilder("text,label\n");
        for (int i = 0; i < 30; i++) {
            conll.append(i % 3 == 0 ? "pp B-PER\n" : "caf\u00e9 O\n").append(i % 2 == 0 ? "o O\n\n" : "q I-PER\n\n");
            csv.append(i % 3 == 0 ? "aa b,yes\n" : "b caf\u00e9,no\n");
        }
        Files.writeString(folder.resolve("d.conll"), conll);
        Files.writeString(folder.resolve("d.csv"), csv);
    }

    private RunConfig of(String preset) {
        return RunConfig.of(preset)
                .with("data.path", folder.resolve(FILES.get(preset)).toString())
                .with("data.classes", preset.equals("tag") ? "3" : "2")
                .with("data.sequence", "14")
                .with("data.batch", "8")
                .with("train.learningRate", "0.01")
                .with("train.warmup", "2")
                .withSteps(5);
    }

    private RunConfig small(String preset) {
        return of(preset).with("model.width", "32").with("model.hidden", "48").with("model.heads", "4");
    }

    private ModelExport export(String run, int step, ElementType type, String out) {
        return ModelExport.write(checkpoint(run, step), type, Optional.empty(), folder.resolve(out));
    }

    private RunConfig from(String preset, String model) {
        // a step that changes nothing: 1 + 1e-30 is 1 in FP32
        return of(preset)
                .withSteps(1)
                .with("train.learningRate", "1e-30")
                .with(
                        "model.weights",
                        folder.resolve(model).resolve("model.safetensors").toString());
    }

    /** Tokens, weights, the number of heads and the head itself come from the folder: else the loss would be another. */
    @ParameterizedTest
    @ValueSource(strings = {"tag", "classify"})
    void exportedModelAnswersToTheSameBits(String preset) {
        RunResult trained = train("run", small(preset), Start.NEW);
        assertEquals(RunResult.Status.COMPLETED, trained.status(), trained.message());
        ModelExport export = export("run", 5, ElementType.F32, "model");
        assertEquals(Optional.of("BERT"), export.family());
        assertEquals(
                List.of("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"),
                names(folder.resolve("model")));
        RunResult again = train("again", from(preset, "model"), Start.NEW);
        assertEquals(RunResult.Status.COMPLETED, again.status(), again.message());
        assertEquals(trained.evaluations().getLast().validationLoss(), again.finalValidationLoss());
        assertEquals(
                trained.evaluations().getLast().scores(),
                again.evaluations().getLast().scores());
        assertTrue(notices.getLast().contains("the head begins as that in"), notices.toString());
        // and once more: tokenizer.json is now a file of the run
        export("again", 1, ElementType.F32, "second");
        RunResult third = train("third", from(preset, "second"), Start.NEW);
        assertEquals(again.finalValidationLoss(), third.finalValidationLoss());
    }

    @Test
    void everyParameterHasTheNameThatTransformersGiveIt() throws IOException {
        train("run", small("tag"), Start.NEW);
        ModelExport export = export("run", 5, ElementType.BF16, "model");
        Path weights = folder.resolve("model/model.safetensors");
        try (SafetensorsFile own = SafetensorsFile.open(checkpoint("run", 5).file(CheckpointFile.MODEL));
                SafetensorsFile file = SafetensorsFile.open(weights)) {
            assertEquals(3 + 2 + 2 * (6 + 6 + 4) + 2, file.tensors().size());
            assertEquals(export.tensors(), file.tensors().size());
            assertArrayEquals(rounded(own.floats("head.weight")), file.floats("classifier.weight"));
            assertArrayEquals(
                    rounded(own.floats("embedding.weight")), file.floats("bert.embeddings.word_embeddings.weight"));
            float[] qkv = own.floats("blocks.1.attn.qkv.bias"); // [3 · 32]
            float[] key = file.floats("bert.encoder.layer.1.attention.self.key.bias");
            assertArrayEquals(rounded(Arrays.copyOfRange(qkv, 32, 64)), key);
            assertTrue(file.metadata().get("config").contains("\"bert\""));
        }
        JsonFields config = new JsonFields(
                "config",
                JsonTree.parseWithoutNulls("config", Files.readAllBytes(folder.resolve("model/config.json")), 4));
        assertEquals(4, config.whole("num_attention_heads", 1, 99));
        assertEquals("bfloat16", config.text("torch_dtype"));
        assertEquals(
                Map.of("0", "B-PER", "1", "I-PER", "2", "O"),
                config.object("id2label").fields());
        assertEquals(2L, config.object("label2id").fields().get("O"));
        assertEquals(List.of("BertForTokenClassification"), config.list("architectures"));
    }

    private static float[] rounded(float[] values) {
        float[] rounded = values.clone();
        for (int i = 0; i < rounded.length; i++) {
            rounded[i] = Bf16.roundTrip(values[i]);
        }
        return rounded;
    }

    @Test
    void headOfOtherLabelsIsNotUsed() throws IOException {
        RunResult trained = train("run", small("classify"), Start.NEW);
        export("run", 5, ElementType.F32, "model");
        Path csv = folder.resolve("d.csv");
        Files.writeString(csv, Files.readString(csv).replace(",yes", ",maybe")); // comes before "no"
        RunResult other = train("other", from("classify", "model"), Start.NEW);
        assertNotEquals(trained.evaluations().getLast().validationLoss(), other.finalValidationLoss());
        assertFalse(notices.toString().contains("the head begins"), notices.toString());
    }

    @Test
    void configOfAnotherModelIsRefused() throws IOException {
        train("run", small("classify"), Start.NEW);
        export("run", 5, ElementType.F32, "model");
        Path config = folder.resolve("model/config.json");
        String text = Files.readString(config);
        Files.writeString(config, text.replace("\"gelu\"", "\"relu\""));
        assertTrue(refusal().contains("config.json: hidden_act is 'relu', but must be gelu"), refusal());
        Files.writeString(config, text.replace("1.0E-12", "1e-5"));
        assertTrue(refusal().contains("config.json: layer_norm_eps is '1.0E-5', but must be 1.0E-12"), refusal());
        Files.writeString(config, text.substring(0, text.length() / 2));
        assertTrue(refusal().contains("config.json is damaged JSON"), refusal());
        // null and what is not known here do not matter
        Files.writeString(config, text.replaceFirst("\\{", "{\"classifier_dropout\": null, \"more\": [{}],"));
        assertEquals(
                RunResult.Status.COMPLETED,
                train("null", from("classify", "model"), Start.NEW).status());
    }

    private String refusal() {
        return assertThrows(FormatException.class, () -> runs.train(from("classify", "model"), RunListener.SILENT))
                .getMessage();
    }
}
