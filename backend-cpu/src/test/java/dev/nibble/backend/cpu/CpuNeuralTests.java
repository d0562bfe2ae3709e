package dev.nibble.backend.cpu;

import static dev.nibble.host.HostTensor.floats;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.nibble.host.HostTensor;
import dev.nibble.reference.ReferenceNeural;
import dev.nibble.spi.AttentionShape;
import dev.nibble.spi.NeuralOps;
import dev.nibble.spi.NeuralOps.Saved;
import dev.nibble.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.function.BiFunction;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Every operation gives the bits of the reference, for any number of threads. */
class CpuNeuralTests {
    private static final float[] SPECIAL = {
        0f,
        -0f,
        Float.MIN_VALUE,
        -Float.MIN_NORMAL,
        Float.MAX_VALUE,
        -Float.MAX_VALUE,
        Float.POSITIVE_INFINITY,
        Float.NEGATIVE_INFINITY,
        Float.NaN,
        88.8f,
        -88.8f,
        104.5f,
        -104.5f
    };

    /**
     * Runs the work on the reference, and with and without the native library on 1, 2 and 3 threads, and compares all tensors
     * that it returns.
     */
    private static void assertSameAsReference(BiFunction<NeuralOps, TestScope, List<Tensor>> work) {
        TestScope scope = TestScope.create();
        List<Tensor> expected = work.apply(new ReferenceNeural(scope.runtime()), scope);
        for (Optional<NativeKernels> kernels :
                List.of(Optional.<NativeKernels>empty(), NativeLibrary.outcome().kernels())) {
            for (int threads = 1; threads <= 3; threads++) {
                try (Workers workers = new Workers(threads);
                        CpuNeural ops = new CpuNeural(scope.runtime(), workers, kernels)) {
                    List<Tensor> actual = work.apply(ops, scope);
                    assertEquals(expected.size(), actual.size());
                    for (int i = 0; i < expected.size(); i++) {
                        String what =
                                expected.get(i).label() + " on " + threads + " threads, native: " + kernels.isPresent();
                        TestScope.assertSameBits(what, floats(expected.get(i)), floats(actual.get(i)));
                    }
                }
            }
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 262143, 262144, 262145, 600001})
    void zeroIsWrittenToAllElements(int length) {
        TestScope scope = TestScope.create();
        for (int threads = 1; threads <= 2; threads++) {
            try (Workers workers = new Workers(threads)) {
                HostTensor x = scope.normal(1, 1, length);
                Arrays.fill(floats(x), Float.NaN);
                try (CpuNeural ops = new CpuNeural(
                        scope.runtime(), workers, NativeLibrary.outcome().kernels())) {
                    ops.zero(scope, x);
                }
                TestScope.assertSameBits("zeros", new float[length], floats(x));
            }
        }
    }

    @Test
    void addingToZerosThatAreNotWrittenMakesNoNegativeZero() {
        assertSameAsReference((ops, scope) -> {
            Tensor sum = scope.normal(1, 600_001);
            HostTensor addend = scope.normal(2, 600_001);
            floats(addend)[300_000] = -0f;
            ops.zero(scope, sum);
            ops.addInPlace(scope, sum, addend);
            return List.of(sum);
        });
    }

    private static List<Tensor> attend(NeuralOps ops, TestScope scope, AttentionShape shape, Tensor qkv) {
        Saved forward = ops.attention(scope, qkv, shape);
        Tensor dy = scope.normal(2, shape.tokens(), shape.width());
        Tensor gradient = ops.attentionBackward(scope, dy, qkv, forward, shape);
        return List.of(forward.output(), forward.saved(), gradient);
    }

    @ParameterizedTest
    @CsvSource({
        "1, 1, 1, 2",
        "3, 1, 3, 16",
        "1, 3, 1, 2",
        "1, 4, 1, 16",
        "2, 13, 3, 2",
        "1, 64, 1, 64",
        "1, 65, 1, 16",
        "1, 127, 3, 16",
        "2, 128, 1, 64",
        "1, 129, 3, 64",
        "1, 257, 1, 6",
        "1, 33, 1, 130"
    })
    void attentionIsTheReferences(int batch, int sequence, int heads, int headSize) {
        for (boolean causal : new boolean[] {true, false}) {
            AttentionShape shape = new AttentionShape(batch, sequence, heads, headSize, causal);
            assertSameAsReference(
                    (ops, scope) -> attend(ops, scope, shape, scope.normal(1, shape.tokens(), 3L * shape.width())));
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void attentionToSpecialValuesIsTheReferences(boolean causal) {
        AttentionShape shape = new AttentionShape(SPECIAL.length, 67, 1, 16, causal);
        assertSameAsReference((ops, scope) -> {
            HostTensor qkv = scope.normal(1, shape.tokens(), 48);
            for (int i = 0; i < SPECIAL.length; i++) { // one in each sequence, in q, k and v in turn
                floats(qkv)[(i * 67 + 40 + i) * 48 + i % 3 * 16 + i] = SPECIAL[i];
            }
            return attend(ops, scope, shape, qkv);
        });
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void attentionAfterALargerOneIsTheReferences(boolean causal) {
        AttentionShape large = new AttentionShape(1, 40, 1, 16, causal);
        AttentionShape small = new AttentionShape(1, 37, 1, 14, causal); // pads to the same sizes: finds used scratch
        assertSameAsReference((ops, scope) -> {
            float[] nan = new float[40 * 48]; // [40, 48]
            Arrays.fill(nan, Float.NaN);
            attend(ops, scope, large, scope.floats(nan, 40, 48));
            return attend(ops, scope, small, scope.normal(1, 37, 42));
        });
    }

    @ParameterizedTest
    @CsvSource({"1, 1", "1, 13", "13, 129", "129, 13", "65, 704", "2, 127", "2, 128"})
    void swiGluIsTheReferences(int rows, int hidden) {
        assertSameAsReference((ops, scope) -> {
            HostTensor gateUp = scope.normal(1, rows, 2L * hidden);
            System.arraycopy(SPECIAL, 0, floats(gateUp), 0, Math.min(SPECIAL.length, 2 * hidden));
            Tensor dy = scope.normal(2, rows, hidden);
            return List.of(ops.swiGlu(scope, gateUp), ops.swiGluBackward(scope, dy, gateUp));
        });
    }

    @ParameterizedTest
    @CsvSource({"1, 1", "1, 13", "13, 129", "3, 127", "3, 128", "300, 257"}) // the last has three chunks
    void reluIsTheReferences(int rows, int cols) {
        assertSameAsReference((ops, scope) -> {
            HostTensor x = scope.normal(1, rows, cols);
            System.arraycopy(SPECIAL, 0, floats(x), 0, Math.min(SPECIAL.length, cols));
            Tensor y = ops.relu(scope, x);
            return List.of(y, ops.reluBackward(scope, scope.normal(2, rows, cols), y));
        });
    }

    @ParameterizedTest
    @CsvSource({"1, 1, 1", "13, 7, 13", "17, 49, 129", "2, 16, 127", "129, 1, 128"})
    void meanRowsIsTheReferences(int groups, int group, int width) {
        assertSameAsReference((ops, scope) -> {
            HostTensor x = scope.normal(1, (long) groups * group, width);
            System.arraycopy(SPECIAL, 0, floats(x), 0, Math.min(SPECIAL.length, width));
            Tensor dy = scope.normal(2, groups, width);
            return List.of(ops.meanRows(scope, x, group), ops.meanRowsBackward(scope, dy, group));
        });
    }

    @ParameterizedTest
    @CsvSource({"1, 1", "1, 13", "13, 129", "129, 13", "127, 10", "128, 10", "1000, 3"})
    void countCorrectIsTheReferences(int rows, int classes) {
        assertSameAsReference((ops, scope) -> {
            HostTensor logits = scope.normal(1, rows, classes);
            System.arraycopy(SPECIAL, 0, floats(logits), 0, Math.min(SPECIAL.length, classes));
            HostTensor count = scope.floats(new float[] {0.5f}, 1);
            ops.countCorrect(scope, logits, scope.ints(2, rows, classes), count);
            return List.of(count);
        });
    }

    @ParameterizedTest
    @CsvSource({"1, 1", "1, 13", "13, 129", "129, 13", "129, 256", "3, 127", "3, 128"})
    void crossEntropyIsTheReferences(int tokens, int vocabulary) {
        assertSameAsReference((ops, scope) -> {
            List<Tensor> results = new ArrayList<>();
            for (float special : new float[] {1f, 200f, -Float.MAX_VALUE, Float.NEGATIVE_INFINITY, Float.NaN}) {
                HostTensor logits = scope.normal(1, tokens, vocabulary);
                floats(logits)[vocabulary / 2] = special;
                HostTensor loss = scope.floats(new float[] {0.5f}, 1);
                ops.crossEntropy(scope, logits, scope.ints(2, tokens, vocabulary), loss, 0.5f, true);
                results.add(logits);
                results.add(loss);
            }
            return results;
        });
    }

    @ParameterizedTest
    @CsvSource({"1, 1", "1, 13", "13, 129", "129, 13", "200, 704", "3, 127", "3, 128"})
    void rmsNormIsTheReferences(int rows, int width) {
        assertSameAsReference((ops, scope) -> {
            Tensor x = scope.normal(1, rows, width);
            Tensor weight = scope.normal(2, width);
            Saved forward = ops.rmsNorm(scope, x, weight, 1e-5f);
            Tensor gradWeight = scope.normal(3, width);
            Tensor dy = scope.normal(4, rows, width);
            Tensor dx = ops.rmsNormBackward(scope, dy, x, forward.saved(), weight, gradWeight);
            return List.of(forward.output(), forward.saved(), dx, gradWeight);
        });
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 13, 129, 1000})
    void embeddingIsTheReferences(int tokens) {
        assertSameAsReference((ops, scope) -> {
            HostTensor ids = scope.ints(1, tokens, 7); // each row of the table many times
            Tensor gradTable = scope.normal(2, 7, 129);
            ops.embeddingBackward(scope, ids, scope.normal(3, tokens, 129), gradTable);
            return List.of(ops.embedding(scope, ids, scope.normal(4, 7, 129)), gradTable);
        });
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 127, 32_768, 100_001})
    void elementwiseOperationsAreTheReferences(int length) {
        assertSameAsReference((ops, scope) -> {
            Tensor sum = scope.normal(1, length);
            ops.addInPlace(scope, sum, scope.normal(2, length));
            Tensor zero = scope.normal(3, length);
            ops.zero(scope, zero);
            return List.of(sum, zero);
        });
    }

    @Test
    void rotationIsTheReferencesThoughTheShapeChanges() {
        assertSameAsReference((ops, scope) -> {
            List<Tensor> results = new ArrayList<>();
            for (AttentionShape shape : List.of(
                    new AttentionShape(2, 129, 3, 16),
                    new AttentionShape(2, 13, 3, 16),
                    new AttentionShape(1, 13, 1, 2))) {
                for (float base : new float[] {10000f, 500f}) {
                    Tensor qkv = scope.normal(1, shape.tokens(), 3L * shape.width());
                    ops.rotateInPlace(scope, qkv, shape, base, base == 500f);
                    results.add(qkv);
                }
            }
            return results;
        });
    }

    @Test
    void scratchIsGivenBack() {
        TestScope scope = TestScope.create();
        try (Workers workers = new Workers(2)) {
            CpuNeural ops = new CpuNeural(scope.runtime(), workers);
            Tensor qkv = scope.normal(1, 4, 6);
            long before = scope.runtime().memory().openTensors();
            Saved result = ops.attention(scope, qkv, new AttentionShape(2, 2, 1, 2));
            result.output().close();
            result.saved().close();
            assertEquals(before, scope.runtime().memory().openTensors());
            AttentionShape wrong = new AttentionShape(2, 3, 1, 2);
            IllegalArgumentException e =
                    assertThrows(IllegalArgumentException.class, () -> ops.attention(scope, qkv, wrong));
            assertEquals("qkv is [4, 6], but must be [6, 6]", e.getMessage());
            assertEquals(before, scope.runtime().memory().openTensors());
        }
    }
}
