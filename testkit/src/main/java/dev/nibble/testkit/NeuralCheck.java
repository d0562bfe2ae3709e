package dev.nibble.testkit;

import dev.nibble.spi.ConvolutionOps;
import dev.nibble.spi.NeuralOps;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.Tensor;
import dev.nibble.testkit.data.Bits;
import dev.nibble.testkit.run.Rig;
import java.util.List;
import java.util.function.Function;

/**
 * Runs an operation between the products on both backends, and compares.
 *
 * @param duel the backends
 * @param inOrder whether sums of the backend under test have the plain code's order
 */
record NeuralCheck(Duel duel, boolean inOrder) {
    /** Tensors that an operation reads or changes, on one backend. */
    record Arguments(Rig rig, List<Tensor> tensors) {
        Tensor get(int i) {
            return tensors.get(i);
        }

        NeuralOps neural() {
            return rig.backend().neural();
        }

        ConvolutionOps convolution() {
            return rig.backend().convolution();
        }
    }

    /** An operation on its arguments; what it gives or changes. */
    @FunctionalInterface
    interface Operation {
        List<Tensor> apply(StepScope scope, Arguments arguments);
    }

    private static List<float[]> run(Rig rig, Function<Rig, List<Tensor>> inputs, Operation operation) {
        Arguments arguments = new Arguments(rig, inputs.apply(rig));
        try {
            return rig.results(StepContext.train(2, 0.01f), scope -> operation.apply(scope, arguments));
        } finally {
            arguments.tensors().forEach(Tensor::close);
        }
    }

    /**
     * {@return what the operation gives on the backend under test}
     *
     * @param specified whether bits must be those of the plain code on any backend
     * @param expected of the first results, in FP64
     */
    List<float[]> check(
            String what,
            Function<Rig, List<Tensor>> inputs,
            Operation operation,
            boolean specified,
            Expected... expected) {
        List<float[]> actual = run(duel.actual(), inputs, operation);
        for (int i = 0; i < expected.length; i++) {
            expected[i].assertHolds(duel.says(what) + " result " + i, actual.get(i));
        }
        if (inOrder || specified) {
            List<float[]> plain = run(duel.plain(), inputs, operation);
            for (int i = 0; i < plain.size(); i++) {
                Bits.assertSame(duel.says(what) + " result " + i, plain.get(i), actual.get(i));
            }
        }
        return actual;
    }
}
