package dev.nibble.reference;

import static dev.nibble.host.HostTensor.floats;
import static dev.nibble.reference.Differences.U;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.nibble.spi.AttentionShape;
import dev.nibble.tensor.Tensor;
import java.util.SplittableRandom;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ReferenceRotaryTests {
    private static final float BASE = 10000f;

    private final TestScope scope = TestScope.create();
    private final ReferenceNeural ops = new ReferenceNeural(scope.runtime());

    @ParameterizedTest
    @CsvSource({"1, 1, 1, 2", "2, 13, 3, 16", "1, 129, 1, 64"})
    void featuresTurnByTheirAngleAndBack(int batch, int sequence, int heads, int headSize) {
        AttentionShape shape = new AttentionShape(batch, sequence, heads, headSize);
        int pitch = 3 * shape.width();
        int tokens = batch * sequence;
        float[] x = Differences.normal(new SplittableRandom(sequence), tokens * pitch, 1); // [tokens, 3 · width]
        Tensor qkv = scope.floats("qkv", x, tokens, pitch);
        ops.rotateInPlace(scope, qkv, shape, BASE, false);
        float[] turned = floats(qkv).clone(); // [tokens, 3 · width]
        ops.rotateInPlace(scope, qkv, shape, BASE, true);
        float[] back = floats(qkv); // [tokens, 3 · width]
        int half = headSize / 2;
        for (int i = 0; i < x.length; i++) {
            int feature = i % pitch;
            if (feature >= 2 * shape.width()) { // v
                assertEquals(x[i], turned[i]);
                assertEquals(x[i], back[i]);
                continue;
            }
            int inHead = feature % headSize;
            boolean isFirst = inHead < half;
            double angle = i / pitch % sequence * Math.pow(BASE, -2.0 * (isFirst ? inHead : inHead - half) / headSize);
            int other = isFirst ? i + half : i - half;
            double expected = x[i] * Math.cos(angle) + (isFirst ? -1 : 1) * x[other] * Math.sin(angle);
            // cos, sin, their products and the sum are rounded: 2 each for a term, 1 for the sum, of at most |a| + |b|.
            double size = (double) Math.abs(x[i]) + Math.abs(x[other]);
            assertEquals(expected, turned[i], 3 * U * size + 1e-14);
            // Both turns err by that much of at most sqrt(2) · size, the first error turns on, and cos² + sin² is 1 ±
            // 2u.
            assertEquals(x[i], back[i], 16 * U * size);
        }
    }
}
