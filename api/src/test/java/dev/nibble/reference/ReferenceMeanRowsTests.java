package dev.nibble.reference;

import static dev.nibble.host.HostTensor.floats;
import static dev.nibble.reference.Differences.U;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.nibble.tensor.Tensor;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ReferenceMeanRowsTests {
    private final TestScope scope = TestScope.create();
    private final ReferenceNeural ops = new ReferenceNeural(scope.runtime());

    @ParameterizedTest
    @CsvSource({"1, 1, 1", "13, 7, 13", "2, 49, 129", "9, 16, 128", "3, 1, 127"}) // 9 and 13: more than one chunk
    void meansAndGradientsAreThoseOfTheDefinition(int groups, int group, int width) {
        SplittableRandom random = new SplittableRandom(group);
        float[] x = Differences.normal(random, groups * group * width, 1); // [groups · group, width]
        float[] c = Differences.normal(random, groups * width, 1); // [groups, width]
        Tensor input = scope.floats("x", x, (long) groups * group, width);
        float[] y = floats(ops.meanRows(scope, input, group)); // [groups, width]
        Tensor dy = scope.floats("gradOutput", c, groups, width);
        float[] grad = floats(ops.meanRowsBackward(scope, dy, group)); // [groups · group, width]
        for (int i = 0; i < c.length; i++) {
            int first = i / width * group * width + i % width;
            double sum = 0;
            double magnitude = 0;
            for (int row = 0; row < group; row++) {
                sum += x[first + row * width];
                magnitude += Math.abs(x[first + row * width]);
                // 1 / group and the product are rounded once each
                assertEquals((double) c[i] / group, grad[first + row * width], 2 * U * Math.abs(c[i]) / group);
            }
            // group - 1 additions, 1 / group, and the product
            assertEquals(sum / group, y[i], (group + 1) * U * magnitude / group);
        }
    }

    @Test
    void meanOfOneRowIsTheRowAndNanStaysInItsGroup() {
        float[] x = {1f, -0f, Float.NaN, Float.MAX_VALUE}; // [4, 1]
        assertArrayEquals(x, floats(ops.meanRows(scope, scope.floats("x", x, 4, 1), 1)));
        float[] pairs = floats(ops.meanRows(scope, scope.floats("x", x, 4, 1), 2));
        assertArrayEquals(new float[] {0.5f, Float.NaN}, pairs);
    }

    @Test
    void rowsThatDoNotFallIntoGroupsAreRefused() {
        Tensor x = scope.floats("x", new float[10], 5, 2);
        IllegalArgumentException uneven = assertThrows(IllegalArgumentException.class, () -> ops.meanRows(scope, x, 2));
        assertEquals("x is [5, 2], but its rows must be a multiple of the group, 2", uneven.getMessage());
        IllegalArgumentException none =
                assertThrows(IllegalArgumentException.class, () -> ops.meanRowsBackward(scope, x, 0));
        assertEquals("group is 0, but must be at least 1", none.getMessage());
    }
}
