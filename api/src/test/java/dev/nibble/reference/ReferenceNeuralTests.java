package dev.nibble.reference;

import static dev.nibble.host.HostTensor.floats;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.nibble.tensor.Tensor;
import org.junit.jupiter.api.Test;

class ReferenceNeuralTests {
    private final TestScope scope = TestScope.create();
    private final ReferenceNeural ops = new ReferenceNeural(scope.runtime());

    @Test
    void zeroClearsEvenNan() {
        Tensor x = scope.floats("x", new float[] {Float.NaN, Float.POSITIVE_INFINITY, -0f}, 3);
        ops.zero(scope, x);
        assertArrayEquals(new float[] {0f, 0f, 0f}, floats(x));
    }

    @Test
    void addInPlaceRoundsOnce() {
        Tensor x = scope.floats("x", new float[] {1f, 0x1p24f, -0f, Float.MAX_VALUE, Float.MIN_VALUE}, 5);
        Tensor y = scope.floats("y", new float[] {2f, 1f, -0f, Float.MAX_VALUE, Float.MIN_VALUE}, 5);
        ops.addInPlace(scope, x, y);
        assertArrayEquals(new float[] {3f, 0x1p24f, -0f, Float.POSITIVE_INFINITY, 2 * Float.MIN_VALUE}, floats(x));
    }

    @Test
    void addInPlaceRefusesAnotherShape() {
        Tensor x = scope.floats("x", new float[6], 2, 3);
        Tensor y = scope.floats("y", new float[6], 3, 2);
        IllegalArgumentException e = assertThrows(IllegalArgumentException.class, () -> ops.addInPlace(scope, x, y));
        assertEquals("addend is [3, 2], but must be [2, 3]", e.getMessage());
    }

    @Test
    void embeddingCopiesRows() {
        Tensor table = scope.floats("table", new float[] {1f, 2f, 3f, 4f, 5f, 6f}, 3, 2);
        Tensor y = ops.embedding(scope, scope.ints("ids", 2, 0, 2), table);
        assertArrayEquals(new float[] {5f, 6f, 1f, 2f, 5f, 6f}, floats(y));
    }

    @Test
    void gradientOfTheTableIsAddedInTheOrderOfTheTokens() {
        Tensor gradTable = scope.floats("gradTable", new float[] {7f, 0f}, 2, 1);
        // 2^24 + 1 rounds to 2^24, twice; from the other end the two ones would meet first and give 2^24 + 2.
        Tensor dy = scope.floats("gradOutput", new float[] {0x1p24f, 1f, 1f}, 3, 1);
        ops.embeddingBackward(scope, scope.ints("ids", 1, 1, 1), dy, gradTable);
        assertArrayEquals(new float[] {7f, 0x1p24f}, floats(gradTable));
    }

    @Test
    void tokenOutsideTheTableIsRefused() {
        Tensor table = scope.floats("table", new float[6], 3, 2);
        IllegalArgumentException e = assertThrows(
                IllegalArgumentException.class, () -> ops.embedding(scope, scope.ints("ids", 0, -1), table));
        assertEquals("ids[1] is -1, but must be in 0..2", e.getMessage());
    }
}
