package dev.nibble.backend.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.nibble.reference.ReferenceGradientNorm;
import org.junit.jupiter.api.Test;

class SquareLanesTests {
    @Test
    void sumsAreThoseOfThePlainCode() {
        float[] x = Fixture.normal(5000, 3);
        x[7] = 0x1p-140f;
        x[40] = Float.MAX_VALUE;
        for (int from : new int[] {0, 1, 13}) {
            for (int length : new int[] {0, 1, 15, 16, 17, 127, 128, 129, 4096, 4097}) {
                assertEquals(
                        ReferenceGradientNorm.sumOfSquares(x, from, from + length),
                        SquareLanes.sum(x, from, from + length),
                        from + " + " + length);
            }
        }
        x[100] = Float.NaN;
        assertEquals(Double.NaN, SquareLanes.sum(x, 0, 5000));
    }
}
