package dev.nibble.models.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.nibble.models.data.ByteText;
import dev.nibble.models.data.TextBatches;
import dev.nibble.models.layers.Decoder;
import dev.nibble.models.layers.DecoderShape;
import dev.nibble.models.layers.LogitChunks;
import dev.nibble.spi.Backend;
import dev.nibble.spi.BackendOptions;
import dev.nibble.spi.OptionValues;
import dev.nibble.spi.Plugins;
import dev.nibble.spi.QuantizerProvider;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class TokenIdsTests {
    @Test
    void allThatTheModelHasPass() {
        TokenIds.require("ids", new int[] {0, 1, 49}, 50);
        TokenIds.require("ids", new int[0], 50);
    }

    @ParameterizedTest
    @ValueSource(ints = {-1, 50, Integer.MAX_VALUE, Integer.MIN_VALUE})
    void theFirstOtherOneIsNamed(int id) {
        IllegalArgumentException e = assertThrows(
                IllegalArgumentException.class, () -> TokenIds.require("ids", new int[] {0, 49, id, id}, 50));
        assertEquals(
                "ids 2 of the batch is token " + id
                        + ", but the model has 50 tokens, 0..49; was the text read with another vocabulary?",
                e.getMessage());
    }

    @Test
    void aBatchIsRefusedBeforeTheDeviceSeesIt() {
        QuantizerProvider fp32 = Plugins.quantizers().get("fp32");
        byte[] text = new byte[200];
        text[3] = 100;
        try (Backend backend = Plugins.openBackend("reference", BackendOptions.withSeed(1))) {
            Decoder model = new Decoder(
                    backend,
                    new DecoderShape(100, 4, 1, 4, 1, false),
                    1,
                    layer -> fp32.create(OptionValues.of("fp32", fp32.options(), Map.of()))
                            .linear(layer));
            TextBatches batches = new TextBatches(ByteText.of("text", text), 1, 40, 8);
            try (LanguageModelWorkload workload =
                    new LanguageModelWorkload(backend, model, batches, 40, 8, 1, LogitChunks.DEFAULT)) {
                workload.loadValidation(0); // has only zeros
                assertThrows(IllegalArgumentException.class, () -> {
                    for (int step = 0; step < 20; step++) { // sequences of which most begin behind the token
                        workload.loadTraining(step, 0);
                    }
                });
            }
        }
    }
}
