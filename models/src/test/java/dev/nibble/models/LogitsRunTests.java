package dev.nibble.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.tensor.Role;
import java.util.ArrayList;
import java.util.List;
import java.util.SortedMap;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Runs whose logits exist for some tokens at a time. */
class LogitsRunTests extends ResumeFixture {
    private static final int FEW = 4;
    private static final String LOGITS = "model.logitsElements";
    private static final String NOTICE = "the logits of 320 tokens are computed 128 tokens at a time";

    /** 320 tokens in a micro-batch: 128, 128 and 64. */
    private static RunConfig run(String quantizer) {
        return config(quantizer)
                .withThreads(1)
                .withSteps(FEW)
                .with("data.sequence", "80")
                .with("data.validationBatches", "1")
                .with("train.evaluateEvery", "0");
    }

    private static RunConfig chunked(String quantizer) {
        return run(quantizer).with(LOGITS, String.valueOf(128 * 256));
    }

    private static List<Double> losses(RunResult result) {
        assertEquals(RunResult.Status.COMPLETED, result.status(), result.message());
        return result.curve().stream().map(StepRecord::loss).toList();
    }

    @Test
    void aRunLearnsAlikeAndTellsIt() {
        List<Double> whole = losses(train("whole", run("int8-row"), Start.NEW));
        assertFalse(notices.contains(NOTICE));
        List<Double> chunks = losses(train("chunks", chunked("int8-row"), Start.NEW));
        assertTrue(notices.contains(NOTICE), notices.toString());
        // the first step has the same weights; two micro-batches of three chunks, each rounded, and their sums
        assertEquals(whole.getFirst(), chunks.getFirst(), (2 * 6 + 4) * 0x1p-24 * whole.getFirst());
        assertNotEquals(whole, chunks, "another order of sums");
        assertEquals(whole.getLast(), chunks.getLast(), 0.01 * whole.getLast());
        assertTrue(chunks.getLast() < chunks.getFirst());
    }

    @Test
    void stepsThatAreBrokenOffAndComputedAgainHaveTheSameBits() {
        RunConfig config = chunked("int8-fallback:block=16");
        train("whole", config, Start.NEW);
        train("broken", config.with("train.recompute", "blocks"), Start.NEW, 2);
        train("broken", config, Start.RESUME);
        new RunSnapshot(folder.resolve("broken"), FEW).assertSameAs(new RunSnapshot(folder.resolve("whole"), FEW));
    }

    @Test
    void anotherNumberIsAnotherConfiguration() {
        train("run", chunked("fp32"), Start.NEW, 2);
        RuntimeException e = assertThrows(RuntimeException.class, () -> train("run", run("fp32"), Start.RESUME));
        assertTrue(e.getMessage().contains(LOGITS), e.getMessage());
    }

    @Test
    void aCheckpointThatSaysNothingOfThemHeldAll() {
        ResolvedConfiguration now = runs.prepare(run("fp32")).configuration();
        SortedMap<String, String> settings = new TreeMap<>(now.settings());
        settings.remove(LOGITS);
        assertEquals(List.of(), now.differences(with(now, settings)));
        settings.put("model.tokenizer", "tokenizer.json");
        assertTrue(now.differences(with(now, settings)).contains(LOGITS + " is 268435456 here, but 999999999 there"));
    }

    private static ResolvedConfiguration with(ResolvedConfiguration now, SortedMap<String, String> settings) {
        return new ResolvedConfiguration(now.preset(), now.seed(), now.steps(), now.backend(), settings, now.layers());
    }

    @Test
    void backendsOnTheHostHaveTheSameBits() {
        RunConfig config = chunked("bf16").with("data.batch", "2");
        List<Double> plain = losses(train("plain", config.withBackend("reference"), Start.NEW));
        assertEquals(plain, losses(train("cpu", config.withThreads(2), Start.NEW)));
    }

    @Test
    void tiedHeadsToo() {
        RunConfig config = chunked("fp32").with("model.tiedHead", "true");
        List<Double> chunks = losses(train("chunks", config, Start.NEW));
        List<Double> whole = losses(train("whole", config.with(LOGITS, "999999999"), Start.NEW));
        assertEquals(whole.getFirst(), chunks.getFirst(), (2 * 6 + 4) * 0x1p-24 * whole.getFirst());
        assertEquals(whole.getLast(), chunks.getLast(), 0.01 * whole.getLast());
    }

    @Test
    void aQuantizedHeadHoldsAllAndSaysSo() {
        RunConfig config = run("int8-row").with("layers.head", "int8-row");
        List<Double> whole = losses(train("whole", config, Start.NEW));
        assertEquals(whole, losses(train("chunks", config.with(LOGITS, "1"), Start.NEW)));
        assertTrue(
                notices.contains(
                        "the logits of all 320 tokens are held at once, 0 MB in FP32: the quantizer of layer head needs them together"),
                notices.toString());
    }

    /** The first chunk stands for all tokens where operands are looked at. */
    @Test
    void operandsOfTheHeadAreSampled() {
        List<LayerSample> heads = new ArrayList<>();
        RunListener listener = new RunListener() {
            @Override
            public boolean wantsSamples() {
                return true;
            }

            @Override
            public boolean wantsSample(int step) {
                return step == 1;
            }

            @Override
            public void sampled(int step, List<LayerSample> layers) {
                layers.stream()
                        .filter(layer -> layer.layer().site().name().equals("head"))
                        .forEach(heads::add);
            }
        };
        assertEquals(
                RunResult.Status.COMPLETED,
                runs.train(chunked("int8-row"), listener).status());
        assertEquals(1, heads.size());
        assertEquals(128, heads.getFirst().operands().get(Role.INPUT).shape().rows());
        assertEquals(
                128, heads.getFirst().operands().get(Role.GRAD_OUTPUT).shape().rows());
    }

    /** Nothing but tensors counts on the plain backend: the peak is predicted to the byte. */
    @ParameterizedTest
    @ValueSource(strings = {"fp32", "bf16"})
    void theirPeakIsPredictedAndLower(String head) {
        RunConfig config = run("int8-row").withBackend("reference").withSteps(2).with("layers.head", head);
        RunMemory whole = train("whole", config, Start.NEW).memory().orElseThrow();
        RunMemory chunks =
                train("chunks", config.with(LOGITS, "1"), Start.NEW).memory().orElseThrow();
        for (RunMemory memory : List.of(whole, chunks)) {
            assertEquals(memory.forecast().peak(), memory.peakBytes());
            for (RunMemory.Row row : memory.rows()) {
                if (!row.name().equals("held")) {
                    assertEquals(row.predicted(), row.measured().orElseThrow(), row.name());
                }
            }
        }
        assertTrue(chunks.peakBytes() < whole.peakBytes(), chunks.peakBytes() + " of " + whole.peakBytes());
    }

    @ParameterizedTest
    @ValueSource(strings = {"0", "-1", "1000000000"})
    void otherNumbersAreRefused(String elements) {
        IllegalArgumentException e = assertThrows(
                IllegalArgumentException.class, () -> runs.check(run("fp32").with(LOGITS, elements)));
        assertTrue(e.getMessage().contains("setting " + LOGITS + " is "), e.getMessage());
    }
}
