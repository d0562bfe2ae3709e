package dev.nibble.reference;

import static dev.nibble.host.HostTensor.floats;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.nibble.spi.AttentionShape;
import dev.nibble.spi.KeyValueShape;
import dev.nibble.tensor.Tensor;
import java.util.Arrays;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ReferenceCachedAttentionTests {
    private final TestScope scope = TestScope.create();
    private final ReferenceNeural ops = new ReferenceNeural(scope.runtime());

    private static float[] normal(int seed, int length) {
        SplittableRandom random = new SplittableRandom(seed);
        float[] x = new float[length]; // [length]
        for (int i = 0; i < length; i++) {
            x[i] = (float) random.nextGaussian();
        }
        return x;
    }

    /** Rows {@code from} to {@code to - 1} of each sequence. */
    private static float[] rows(float[] x, int batch, int sequence, int cols, int from, int to) {
        float[] part = new float[batch * (to - from) * cols]; // [batch, to - from, cols]
        for (int b = 0; b < batch; b++) {
            System.arraycopy(x, (b * sequence + from) * cols, part, b * (to - from) * cols, (to - from) * cols);
        }
        return part;
    }

    private float[] follow(KeyValueShape shape, Tensor cache, float[] qkv, int... places) {
        int cols = 3 * shape.heads() * shape.headSize();
        return floats(ops.cachedAttention(
                        scope, scope.floats("x", qkv, places.length, cols), scope.ints("places", places), cache, shape))
                .clone();
    }

    private static int[] places(int batch, int from, int to) {
        int[] places = new int[batch * (to - from)]; // [rows]
        Arrays.setAll(places, row -> from + row % (to - from));
        return places;
    }

    private Tensor emptyCache(KeyValueShape shape) {
        float[] nothing = new float[Math.toIntExact(shape.cache().elements())]; // KeyValueShape.cache
        Arrays.fill(nothing, Float.NaN);
        return scope.floats("x", nothing, shape.cache().rows(), shape.cache().cols());
    }

    @ParameterizedTest
    @CsvSource({"1, 1, 1, 2, 10000", "2, 13, 3, 8, 10000", "2, 13, 3, 8, 0", "1, 129, 1, 64, 10000", "3, 40, 2, 6, 500"
    })
    void rowsHaveTheBitsOfWholeSequences(int batch, int sequence, int heads, int headSize, float base) {
        AttentionShape whole = new AttentionShape(batch, sequence, heads, headSize);
        KeyValueShape shape = new KeyValueShape(batch, sequence + 2, heads, headSize, base);
        int width = whole.width();
        float[] qkv = normal(1, batch * sequence * 3 * width);
        Tensor packed = scope.floats("x", qkv.clone(), whole.tokens(), 3L * width);
        if (base > 0) {
            ops.rotateInPlace(scope, packed, whole, base, false);
        }
        float[] expected = floats(ops.attention(scope, packed, whole).output()); // [batch · sequence, width]
        for (int first : new int[] {sequence, Math.max(1, sequence / 2)}) {
            Tensor cache = emptyCache(shape);
            for (int from = 0; from < sequence; ) {
                int to = from == 0 ? first : from + 1; // a prompt, then one by one
                float[] part = rows(qkv, batch, sequence, 3 * width, from, to);
                assertArrayEquals(
                        rows(expected, batch, sequence, width, from, to),
                        follow(shape, cache, part, places(batch, from, to)),
                        "rows " + from + " to " + to);
                from = to;
            }
        }
    }

    @Test
    void anotherPositionGivesAnotherRow() {
        KeyValueShape shape = new KeyValueShape(1, 8, 1, 4, 10000);
        float[] qkv = normal(2, 4 * 12);
        float[] right = follow(shape, filled(shape, qkv), rows(qkv, 1, 4, 12, 3, 4), 3);
        float[] early = follow(shape, filled(shape, qkv), rows(qkv, 1, 4, 12, 3, 4), 2); // over a key
        float[] late = follow(shape, filled(shape, qkv), rows(qkv, 1, 4, 12, 3, 4), 4); // behind a gap of NaN
        assertFalse(Arrays.equals(right, early));
        assertEquals(Float.NaN, late[0]);
    }

    private Tensor filled(KeyValueShape shape, float[] qkv) {
        Tensor cache = emptyCache(shape);
        follow(shape, cache, rows(qkv, 1, 4, 12, 0, 3), 0, 1, 2);
        return cache;
    }

    @Test
    void unfitOperandsAreNamed() {
        KeyValueShape shape = new KeyValueShape(2, 8, 1, 4, 10000);
        Tensor cache = emptyCache(shape);
        assertEquals(
                "places[1] is 8, but must be in 0..7",
                assertThrows(IllegalArgumentException.class, () -> follow(shape, cache, new float[24], 0, 8))
                        .getMessage());
        assertEquals(
                "qkv is [3, 12], but its rows must be a multiple of 2, the sequences of the cache",
                assertThrows(IllegalArgumentException.class, () -> follow(shape, cache, new float[36], 0, 1, 2))
                        .getMessage());
        KeyValueShape longer = new KeyValueShape(2, 9, 1, 4, 10000);
        assertEquals(
                "cache is [4, 32], but must be [4, 36]",
                assertThrows(IllegalArgumentException.class, () -> follow(longer, cache, new float[24], 0, 0))
                        .getMessage());
        assertThrows(IllegalArgumentException.class, () -> new KeyValueShape(1, 0, 1, 4, 0));
        assertThrows(IllegalArgumentException.class, () -> new KeyValueShape(1, 1, 1, 3, 0));
        assertThrows(IllegalArgumentException.class, () -> new KeyValueShape(1, 1, 1, 4, Float.NaN));
    }
}
