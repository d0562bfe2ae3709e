package dev.nibble.backend.cpu;

import static dev.nibble.host.HostTensor.floats;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.nibble.host.HostTensor;
import dev.nibble.reference.ReferenceOptimizer;
import dev.nibble.spi.AdamW;
import dev.nibble.spi.Control;
import dev.nibble.spi.OptimizerOps;
import java.util.List;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class OptimizerThreadsTests {
    private static final AdamW SPEC = new AdamW(0.9f, 0.95f, 1e-8f, 0.1f);

    /** {@return parameter, moments and control after three updates, the second one skipped} */
    private static List<HostTensor> train(OptimizerOps ops, TestScope scope, int length) {
        HostTensor p = scope.normal(1, length);
        HostTensor first = scope.floats(new float[length], length);
        HostTensor second = scope.floats(new float[length], length);
        HostTensor control = scope.floats(new float[Control.count()], Control.count());
        for (int t = 0; t < 3; t++) {
            HostTensor gradient = scope.normal(2 + t, length);
            if (t == 1) {
                floats(gradient)[length / 2] = Float.NaN;
            }
            ops.control(scope, List.of(gradient, scope.normal(9, 13)), 1f, control);
            ops.adamW(scope, SPEC, t == 0, p, gradient, first, second, control);
        }
        return List.of(p, first, second, control);
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 13, 129, 4097, 100_001})
    void updatesAreTheReferencesForAnyNumberOfThreads(int length) {
        TestScope scope = TestScope.create();
        List<HostTensor> expected = train(new ReferenceOptimizer(scope.runtime()), scope, length);
        assertEquals(2f, floats(expected.getLast())[Control.UPDATES.ordinal()]);
        for (int threads = 1; threads <= 3; threads++) {
            try (Workers workers = new Workers(threads)) {
                List<HostTensor> actual =
                        train(new ReferenceOptimizer(scope.runtime(), workers::forEach), scope, length);
                for (int i = 0; i < expected.size(); i++) {
                    TestScope.assertSameBits(
                            "tensor " + i + " on " + threads + " threads",
                            floats(expected.get(i)),
                            floats(actual.get(i)));
                }
            }
        }
    }
}
