package dev.nibble.backend.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.spi.AttentionShape;
import dev.nibble.spi.BlockCopy;
import dev.nibble.spi.KeyValueShape;
import dev.nibble.spi.NeuralOps.Saved;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import dev.nibble.testkit.data.Matrix;
import dev.nibble.testkit.data.SpecialValues;
import dev.nibble.testkit.run.Rig;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Bits of the neural operations at sizes that the contract leaves out: tiles and their ends, long rows, hot tokens. */
class CudaNeuralTests {
    private NeuralDuel duel;

    @BeforeEach
    void open() {
        duel = new NeuralDuel();
    }

    @AfterEach
    void close() {
        if (duel != null) {
            duel.close();
        }
    }

    private static int[] ids(int tokens, int vocabulary) { // few of them often, as in text
        SplittableRandom random = new SplittableRandom(tokens + vocabulary);
        int[] ids = new int[tokens]; // [tokens]
        Arrays.setAll(ids, _ -> (int) (vocabulary * Math.pow(random.nextDouble(), 3)));
        return ids;
    }

    @ParameterizedTest
    @CsvSource({
        "1, 1, 1, 2",
        "1, 64, 1, 64",
        "2, 65, 3, 24",
        "1, 63, 2, 66",
        "1, 200, 2, 64",
        "1, 150, 1, 128",
        "1, 70, 1, 200",
        "2, 40, 1, 256",
        "3, 17, 2, 32",
        "1, 513, 1, 16"
    })
    void attentionHasTheBitsOfThePlainCode(int batch, int sequence, int heads, int headSize) {
        for (boolean causal : new boolean[] {true, false}) {
            AttentionShape shape = new AttentionShape(batch, sequence, heads, headSize, causal);
            Matrix qkv = Matrix.normal(1, batch * sequence, 3 * shape.width(), 1.5);
            assertAttends(shape, qkv);
        }
    }

    private void assertAttends(AttentionShape shape, Matrix qkv) {
        Matrix dy = Matrix.normal(2, qkv.rows(), shape.width(), 1);
        duel.assertSame("attention " + shape, rig -> List.of(rig.tensor(qkv), rig.tensor(dy)), (neural, scope, in) -> {
            Saved saved = neural.attention(scope, in.get(0), shape);
            Tensor gradient = neural.attentionBackward(scope, in.get(1), in.get(0), saved, shape);
            return List.of(saved.output(), saved.saved(), gradient);
        });
    }

    /** NaN and infinity reach what sees them, and nothing that the mask hides them from. */
    @Test
    void attentionPassesOnWhatIsNotFinite() {
        for (boolean causal : new boolean[] {true, false}) {
            AttentionShape shape = new AttentionShape(2, 100, 2, 64, causal);
            Matrix qkv = Matrix.normal(3, 200, 3 * shape.width(), 1);
            assertAttends(shape, qkv.with(37 * 384 + 5, Float.NaN)); // of a query
            assertAttends(shape, qkv.with(70 * 384 + 130, Float.POSITIVE_INFINITY)); // of a key
            assertAttends(shape, qkv.with(99 * 384 + 300, Float.NEGATIVE_INFINITY)); // of the last value
            assertAttends(shape, qkv.map((row, col, v) -> row == 64 && col < 128 ? 1e4f * v : v)); // one key takes all
        }
    }

    /** Sequences go on from a cache that is NaN where nothing was put; the longest needs more shared memory than a kernel has by itself. */
    @ParameterizedTest
    @CsvSource({
        "1, 1, 1, 2, 10000, 1",
        "2, 65, 3, 24, 10000, 64",
        "4, 300, 2, 64, 0, 299",
        "1, 257, 1, 256, 10000, 200",
        "1, 20000, 1, 16, 500, 19990",
        "3, 33, 5, 6, 10000, 7"
    })
    void cachedAttentionHasTheBitsOfThePlainCode(
            int batch, int capacity, int heads, int headSize, float base, int first) {
        KeyValueShape shape = new KeyValueShape(batch, capacity, heads, headSize, base);
        int rows = first == 19990 ? 3 : first; // of a long sequence the last ones alone
        int cols = 3 * heads * headSize;
        Matrix begin = Matrix.normal(50, batch * rows, cols, 1.5);
        Matrix next = Matrix.normal(51, batch, cols, 1.5);
        int nextPlace = Math.min(first, capacity - 1);
        Matrix cache = Matrix.normal(52, 2 * batch * heads, capacity * headSize, first == 19990 ? 1 : 0)
                .map((_, _, v) -> first == 19990 ? v : Float.NaN);
        int[] places = new int[batch * rows]; // [batch, rows]
        Arrays.setAll(places, row -> first - rows + row % rows);
        int[] nextPlaces = new int[batch]; // [batch]
        Arrays.fill(nextPlaces, nextPlace);
        duel.assertSame(
                "cachedAttention " + shape,
                rig -> List.of(
                        rig.tensor(begin), rig.ints(places), rig.tensor(next), rig.ints(nextPlaces), rig.tensor(cache)),
                (neural, scope, in) -> List.of(
                        neural.cachedAttention(scope, in.get(0), in.get(1), in.get(4), shape),
                        neural.cachedAttention(scope, in.get(2), in.get(3), in.get(4), shape),
                        in.get(0),
                        in.get(4)));
    }

    @Test
    void aCacheThatIsTooLongIsRefused() {
        KeyValueShape shape = new KeyValueShape(1, 1 << 20, 1, 2, 0);
        Executable call = () -> duel.assertSame(
                "cachedAttention " + shape,
                rig -> List.of(
                        rig.tensor(Matrix.normal(1, 1, 6, 1)),
                        rig.ints(0),
                        rig.tensor(Matrix.normal(1, 2, 1 << 21, 1))),
                (neural, scope, in) -> List.of(neural.cachedAttention(scope, in.get(0), in.get(1), in.get(2), shape)));
        String message = assertThrows(IllegalArgumentException.class, call).getMessage();
        assertTrue(message.contains("1048576 positions") && message.contains("serves at most"), message);
    }

    @ParameterizedTest
    @CsvSource({"1, 1", "129, 13", "200, 768", "131, 4096", "5, 13001", "2, 60000", "64, 2048"})
    void normsHaveTheBitsOfThePlainCode(int rows, int width) {
        Matrix x = Matrix.normal(4, rows, width, 2);
        for (Matrix values : List.of(x, x.with(width - 1, Float.NaN), x.with(0, Float.POSITIVE_INFINITY))) {
            Matrix dy = Matrix.normal(5, rows, width, 1);
            Matrix weight = Matrix.normal(6, 1, width, 1);
            duel.assertSame(
                    "rmsNorm of [%d, %d]".formatted(rows, width),
                    rig -> List.of(
                            rig.tensor(values),
                            rig.tensor(dy),
                            rig.vector(weight.values()),
                            rig.vector(new float[width])),
                    (neural, scope, in) -> {
                        Saved saved = neural.rmsNorm(scope, in.get(0), in.get(2), 1e-5f);
                        Tensor gradient = neural.rmsNormBackward(
                                scope, in.get(1), in.get(0), saved.saved(), in.get(2), in.get(3));
                        Tensor again = neural.rmsNormBackward( // another micro-batch adds
                                scope, gradient, in.get(0), saved.saved(), in.get(2), in.get(3));
                        return List.of(saved.output(), saved.saved(), gradient, again, in.get(3));
                    });
        }
    }

    @ParameterizedTest
    @CsvSource({"1, 1", "13, 129", "77, 128", "300, 1030"})
    void activationsHaveTheBitsOfThePlainCode(int rows, int hidden) {
        for (Matrix gateUp :
                List.of(Matrix.normal(7, rows, 2 * hidden, 40), SpecialValues.mixed(8, rows, 2 * hidden))) {
            Matrix dh = Matrix.normal(9, rows, hidden, 1);
            duel.assertSame(
                    "swiGlu of [%d, %d]".formatted(rows, hidden),
                    rig -> List.of(rig.tensor(gateUp), rig.tensor(dh)),
                    (neural, scope, in) -> List.of(
                            neural.swiGlu(scope, in.get(0)),
                            neural.swiGluBackward(scope, in.get(1), in.get(0)),
                            neural.relu(scope, in.get(0)),
                            neural.reluBackward(scope, in.get(0), in.get(0))));
        }
    }

    @ParameterizedTest
    @CsvSource({"1, 1", "65, 1000", "3, 50304", "2, 50688", "150, 24580", "2, 60001", "200, 257", "70, 16"})
    void lossesHaveTheBitsOfThePlainCode(int rows, int classes) {
        Matrix x = Matrix.normal(10, rows, classes, 3);
        int middle = rows * classes / 2;
        for (Matrix logits : List.of(
                x,
                x.with(middle, Float.NaN),
                x.with(middle, Float.POSITIVE_INFINITY),
                x.with(middle, Float.NEGATIVE_INFINITY),
                x.map((_, _, v) -> Math.round(v)))) {
            int[] targets = ids(rows, classes);
            int[] more = ids(rows + 100, classes); // of all tokens
            for (boolean gradient : new boolean[] {false, true}) {
                duel.assertSame(
                        "crossEntropy of [%d, %d] from token 3 on".formatted(rows, classes),
                        rig -> List.of(rig.tensor(logits), rig.ints(more), rig.vector(0.25f)),
                        (neural, scope, in) -> {
                            neural.crossEntropy(scope, in.get(0), in.get(1), 3, in.get(2), 0.5f, gradient);
                            return List.of(in.get(0), in.get(2));
                        });
                duel.assertSame(
                        "crossEntropy of [%d, %d]".formatted(rows, classes),
                        rig -> List.of(rig.tensor(logits), rig.ints(targets), rig.vector(0.25f), rig.vector(3)),
                        (neural, scope, in) -> {
                            neural.countCorrect(scope, in.get(0), in.get(1), in.get(3));
                            neural.crossEntropy(scope, in.get(0), in.get(1), in.get(2), 0.5f, gradient);
                            neural.crossEntropy(scope, in.get(0), in.get(1), in.get(2), 0.5f, false);
                            return List.of(in.get(0), in.get(2), in.get(3));
                        });
            }
        }
    }

    @ParameterizedTest
    @CsvSource({"1, 1, 1", "5000, 7, 13", "5000, 300, 260", "3000, 50000, 20", "2000, 1, 5", "4096, 256, 64"})
    void embeddingsHaveTheBitsOfThePlainCode(int tokens, int vocabulary, int width) {
        int[] ids = ids(tokens, vocabulary);
        Matrix table = Matrix.normal(11, vocabulary, width, 1);
        Matrix dy = Matrix.normal(12, tokens, width, 1);
        duel.assertSame(
                "embedding of %d tokens, %d rows".formatted(tokens, vocabulary),
                rig -> List.of(rig.ints(ids), rig.tensor(table), rig.tensor(dy), rig.tensor(table)),
                (neural, scope, in) -> {
                    Tensor y = neural.embedding(scope, in.get(0), in.get(1));
                    neural.embeddingBackward(scope, in.get(0), in.get(2), in.get(3));
                    neural.embeddingBackward(scope, in.get(0), y, in.get(3)); // another micro-batch adds
                    return List.of(y, in.get(3));
                });
    }

    @ParameterizedTest
    @CsvSource({"1, 1", "13, 13", "130, 65", "64, 64", "600, 200"})
    void softmaxHasTheBitsOfThePlainCode(int rows, int keys) {
        for (boolean causal : rows % keys == 0 ? new boolean[] {true, false} : new boolean[] {false}) {
            Matrix scores = Matrix.normal(13, rows, keys, 5);
            for (Matrix x :
                    List.of(scores, scores.with(rows * keys - 1, Float.NaN), SpecialValues.mixed(14, rows, keys))) {
                duel.assertSame(
                        "softmax of [%d, %d]".formatted(rows, keys),
                        rig -> List.of(rig.tensor(x), rig.tensor(scores)),
                        (neural, scope, in) -> {
                            Tensor p = neural.softmax(scope, in.get(0), 0.3f, causal);
                            return List.of(p, neural.softmaxBackward(scope, in.get(1), p, 0.3f, causal));
                        });
            }
        }
    }

    @Test
    void blocksAreCopiedWithTheirBits() {
        Matrix source = SpecialValues.mixed(15, 70, 90);
        Matrix target = Matrix.normal(16, 100, 101, 1);
        for (BlockCopy copy : List.of(
                new BlockCopy(70, 90, 0, 0, 3, 5, false),
                new BlockCopy(33, 65, 7, 9, 30, 60, true),
                new BlockCopy(1, 1, 69, 89, 99, 100, true),
                new BlockCopy(40, 30, 1, 2, 0, 0, false))) {
            duel.assertSame(
                    copy.toString(), rig -> List.of(rig.tensor(source), rig.tensor(target)), (neural, scope, in) -> {
                        neural.copyBlock(scope, in.get(0), in.get(1), copy);
                        return List.of(in.get(1));
                    });
        }
    }

    @Test
    void meansAndRotationsHaveTheBitsOfThePlainCode() {
        Matrix x = Matrix.normal(17, 300, 3 * 130, 1);
        AttentionShape shape = new AttentionShape(3, 100, 5, 26);
        duel.assertSame("means and rotations", rig -> List.of(rig.tensor(x)), (neural, scope, in) -> {
            Tensor means = neural.meanRows(scope, in.get(0), 100);
            Tensor gradient = neural.meanRowsBackward(scope, in.get(0), 7);
            neural.rotateInPlace(scope, in.get(0), shape, 10000, false);
            return List.of(means, gradient, in.get(0));
        });
    }

    /** What several blocks share is only read: a hundred runs give the same bits. */
    @Test
    void aHundredRunsGiveTheSameBits() {
        AttentionShape shape = new AttentionShape(2, 300, 4, 64);
        Matrix qkv = Matrix.normal(18, 600, 3 * shape.width(), 1);
        Matrix dy = Matrix.normal(19, 600, shape.width(), 1);
        Matrix table = Matrix.normal(20, 500, shape.width(), 1);
        int[] ids = ids(600, 500);
        duel.assertRepeats(
                "a step",
                100,
                rig -> List.of(rig.tensor(qkv), rig.tensor(dy), rig.ints(ids), rig.tensor(table), rig.vector(0)),
                (neural, scope, in) -> {
                    Saved saved = neural.attention(scope, in.get(0), shape);
                    Tensor gradient = neural.attentionBackward(scope, in.get(1), in.get(0), saved, shape);
                    neural.embeddingBackward(scope, in.get(2), in.get(1), in.get(3));
                    neural.crossEntropy(scope, in.get(0), in.get(2), in.get(4), 1, true);
                    return List.of(saved.output(), gradient, in.get(3), in.get(0), in.get(4));
                });
    }

    /** Long rows pass between threads through barriers of their own: twenty runs of more rows than processors give the same bits. */
    @Test
    void longRowsGiveTheSameBits() {
        Matrix logits = Matrix.normal(22, 270, 25_000, 3);
        int[] targets = ids(270, 25_000);
        duel.assertRepeats(
                "crossEntropy of long rows",
                20,
                rig -> List.of(rig.tensor(logits), rig.ints(targets), rig.vector(0)),
                (neural, scope, in) -> {
                    neural.crossEntropy(scope, in.get(0), in.get(1), in.get(2), 1, true);
                    return List.of(in.get(0), in.get(2));
                });
    }

    @Test
    void tokensOutsideTheTableAreRefusedBeforeAnythingIsLaunched() {
        try (Tensor ids = duel.device().ints(1, -1, 5);
                Tensor one = duel.device().ints(0, 4, 2);
                Tensor table = duel.device().tensor(Matrix.normal(21, 5, 3, 1));
                Tensor loss = duel.device().vector(0)) {
            var backend = duel.device().backend();
            try (StepScope scope = backend.beginStep(StepContext.train(0, 0))) {
                Tensor y = backend.neural().embedding(scope, one, table);
                assertRefused(
                        "ids[1] is -1, but must be in 0..4",
                        () -> backend.neural().embedding(scope, ids, table));
                assertRefused(
                        "ids[1] is -1, but must be in 0..4",
                        () -> backend.neural().embeddingBackward(scope, ids, y, table));
                assertRefused(
                        "targets[1] is 4, but must be in 0..2",
                        () -> backend.neural().crossEntropy(scope, y, one, loss, 1, false));
                assertRefused(
                        "targets[1] is 4, but must be in 0..2",
                        () -> backend.neural().countCorrect(scope, y, one, loss));
            }
        }
    }

    private static void assertRefused(String message, Executable work) {
        assertEquals(message, assertThrows(IllegalArgumentException.class, work).getMessage());
    }

    /** Should such tokens reach the device nevertheless, they are seen as NaN, and nothing else is touched. */
    @Test
    void tokensOutsideTheTableBecomeNaN() {
        var device = (CudaBackend) duel.device().backend();
        try (Tensor ids = duel.device().ints(0, 0, 0);
                Tensor table = duel.device().tensor(Matrix.normal(21, 5, 3, 1));
                Tensor gradient = duel.device().tensor(Matrix.zeros(5, 3));
                Tensor loss = duel.device().vector(0)) {
            device.runtime().staging().write(CudaTensor.of(ids).address(), new int[] {1, -1, 5}, 0, 3);
            List<float[]> results = duel.device().results(StepContext.train(0, 0), scope -> {
                var neural = duel.device().backend().neural();
                Tensor y = neural.embedding(scope, ids, table);
                neural.embeddingBackward(scope, ids, y, gradient);
                neural.crossEntropy(scope, y, ids, loss, 1, false);
                return List.of(y, gradient, loss);
            });
            float[] y = results.get(0); // [3, 3]
            assertTrue(Float.isFinite(y[2]) && Float.isNaN(y[3]) && Float.isNaN(y[8]), Arrays.toString(y));
            for (float value : results.get(1)) {
                assertTrue(Float.isFinite(value), "a row that was not named changed");
            }
            assertTrue(Float.isNaN(results.get(2)[0]));
        }
    }

    /** Offsets pass 2^31 elements: all rows of a classifier's logits become gradients, none twice. */
    @Tag("slow")
    @ParameterizedTest
    @ValueSource(ints = {16384, 43000}) // offsets of bytes, then of elements
    void logitsBeyondThirtyTwoBitOffsets(int rows) {
        int classes = 50304;
        var backend = duel.device().backend();
        try (Tensor logits = backend.allocate("logits", DType.FP32, Shape.of(rows, classes), MemoryTag.SCRATCH);
                Tensor targets = duel.device().ints(new int[rows]);
                Tensor loss = duel.device().vector(0);
                Tensor count = duel.device().vector(0)) {
            int[] second = new int[rows]; // [rows]
            Arrays.fill(second, 1);
            try (StepScope scope = backend.beginStep(StepContext.train(0, 0))) {
                backend.neural().zero(scope, logits);
                backend.neural().crossEntropy(scope, logits, targets, loss, 1, true);
            }
            try (Tensor ones = duel.device().ints(second)) {
                try (StepScope scope = backend.beginStep(StepContext.train(1, 0))) {
                    backend.neural()
                            .countCorrect(scope, logits, ones, count); // class 0 is below, 1 the first of the rest
                }
            }
            assertEquals((float) Math.log(classes), backend.readFloats(loss)[0], 1e-5);
            assertEquals(rows, backend.readFloats(count)[0]);
        }
    }

    @Test
    void emptyTensorsAreLeftAlone() {
        try (Rig rig = new Rig(Gpu.open());
                Tensor none = rig.vector()) {
            rig.in(StepContext.train(0, 0), scope -> {
                rig.backend().neural().zero(scope, none);
                rig.backend().neural().addInPlace(scope, none, none);
                return none;
            });
            assertEquals(0, rig.backend().readFloats(none).length);
        }
    }
}
