package dev.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.nibble.models.data.ByteText;
import dev.nibble.models.layers.DecoderShape;
import dev.nibble.spi.Backend;
import dev.nibble.spi.BackendOptions;
import dev.nibble.spi.Plugins;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** A whole training step gives its arrays back and gets them again: what it allocates anew describes its operations. */
class StepAllocationTests {
    private static final int TOKENS = 128;
    private static final DecoderShape SHAPE = new DecoderShape(ByteText.VOCABULARY, 256, 4, 704, 2, false);
    // A step that made the inputs and outputs of its linear layers anew would allocate all of this, 4.5 MiB, and its
    // weights'
    // gradients are larger. What remains is small: labels, scales, the order of sums, the calls of the library. It is
    // 27 KiB a product with fp32, 72 with luq, and more by what the compiler leaves on the heap: less than half of
    // the bound.
    private static final long BOUND = SHAPE.linears().stream()
                    .mapToLong(layer -> layer.in() + layer.out())
                    .sum()
            * TOKENS
            * Float.BYTES;
    private static final int STEPS = 300; // enough for the compiler, which ends the small objects of the loops

    @ParameterizedTest
    @ValueSource(strings = {"fp32", "luq", "int8-fallback", "fp8"})
    void aStepMakesNoActivationsAnew(String quantizer) {
        try (Backend backend = Plugins.openBackend("cpu", new BackendOptions(1, 1, false))) {
            // Without the library, whether Java's vectors stay objects is the compiler's choice.
            assumeTrue(backend.description().matches(".*native (amx|avx512).*"), backend.description());
            try (BenchStep step = new BenchStep(backend, quantizer, SHAPE, TOKENS)) {
                long fewest = Long.MAX_VALUE;
                for (int i = 0; i < STEPS && fewest >= BOUND; i++) {
                    long before = LayerAllocationTests.allocated();
                    step.run();
                    fewest = Math.min(fewest, LayerAllocationTests.allocated() - before);
                }
                assertTrue(fewest < BOUND, "%s: %d bytes a step, bound %d".formatted(quantizer, fewest, BOUND));
            }
        }
    }
}
