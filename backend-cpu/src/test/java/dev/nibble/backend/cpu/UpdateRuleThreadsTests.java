package dev.nibble.backend.cpu;

import static dev.nibble.host.HostTensor.floats;

import dev.nibble.host.HostTensor;
import dev.nibble.reference.ReferenceOptimizer;
import dev.nibble.spi.AdamW;
import dev.nibble.spi.Control;
import dev.nibble.spi.Lion;
import dev.nibble.spi.OptimizerOps;
import dev.nibble.spi.Sgd;
import dev.nibble.spi.StableAdamW;
import dev.nibble.spi.UpdateRule;
import dev.nibble.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class UpdateRuleThreadsTests {
    private static final List<UpdateRule> RULES = List.of(
            new StableAdamW(new AdamW(0.9f, 0.95f, 1e-8f, 0.1f)),
            new Sgd(0, false, 0.1f),
            new Sgd(0.9f, true, 0.1f),
            new Lion(0.9f, 0.99f, 0.1f));

    /** {@return parameter and state after three updates, the second one skipped} */
    private static List<Tensor> train(OptimizerOps ops, UpdateRule rule, TestScope scope, int length) {
        HostTensor p = scope.normal(1, length);
        List<Tensor> state = new ArrayList<>();
        rule.states().forEach(_ -> state.add(scope.floats(new float[length], length)));
        HostTensor control = scope.floats(new float[Control.count()], Control.count());
        for (int t = 0; t < 3; t++) {
            HostTensor gradient = scope.normal(2 + t, length);
            if (t == 1) {
                floats(gradient)[length / 2] = Float.NaN;
            }
            ops.control(scope, List.of(gradient, scope.normal(9, 13)), 1f, control);
            ops.update(scope, rule, t == 0, p, gradient, state, control);
        }
        state.add(p);
        return state;
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 13, 129, 4097, 100_001})
    void updatesAreTheReferencesForAnyNumberOfThreads(int length) {
        TestScope scope = TestScope.create();
        for (UpdateRule rule : RULES) {
            List<Tensor> expected = train(new ReferenceOptimizer(scope.runtime()), rule, scope, length);
            for (int threads = 1; threads <= 3; threads++) {
                try (Workers workers = new Workers(threads)) {
                    List<Tensor> actual =
                            train(new ReferenceOptimizer(scope.runtime(), workers::forEach), rule, scope, length);
                    for (int i = 0; i < expected.size(); i++) {
                        TestScope.assertSameBits(
                                "tensor " + i + " of " + rule + " on " + threads + " threads",
                                floats(expected.get(i)),
                                floats(actual.get(i)));
                    }
                }
            }
        }
    }
}
