package dev.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.nibble.spi.Backend;
import dev.nibble.spi.BackendOptions;
import dev.nibble.spi.Plugins;
import java.lang.management.ManagementFactory;
import javax.management.JMException;
import javax.management.ObjectName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Steps of a linear layer give their arrays back and get them again: what they allocate anew is small. */
class LayerAllocationTests {
    private static final int FEATURES = 512; // tokens, too

    // The smallest array of a step is one of codes of a byte, of X, W or dY: 256 KiB. A step that makes no such array,
    // nor one of
    // FP32, makes only what describes it: labels, scales, the order of its sums.
    private static final long BOUND = (long) FEATURES * FEATURES;

    private static final int STEPS =
            300; // enough for the compiler, which ends the objects that Java's vectors are until then

    /** {@return bytes that a thread has allocated since it began} */
    static long allocated() {
        try {
            return (long) ManagementFactory.getPlatformMBeanServer()
                    .getAttribute(new ObjectName("java.lang:type=Threading"), "CurrentThreadAllocatedBytes");
        } catch (JMException e) {
            throw new IllegalStateException(e);
        }
    }

    /** {@return the fewest bytes of some runs, which end with the first one below the bound} */
    private static long fewest(Runnable step) {
        long fewest = Long.MAX_VALUE;
        for (int i = 0; i < STEPS && fewest >= BOUND; i++) {
            long before = allocated();
            step.run();
            fewest = Math.min(fewest, allocated() - before);
        }
        return fewest;
    }

    @ParameterizedTest
    @ValueSource(strings = {"int8-fallback", "fp8", "bf16"})
    void aStepMakesNoArrayOfAMatrix(String quantizer) {
        try (Backend backend = Plugins.openBackend("cpu", new BackendOptions(1, 1, false))) {
            // Without the library, whether Java's vectors stay objects is the compiler's choice.
            assumeTrue(backend.description().matches(".*native (amx|avx512).*"), backend.description());
            try (BenchLayer layer = new BenchLayer(backend, quantizer, FEATURES, FEATURES)) {
                long bytes = fewest(layer);
                assertTrue(bytes < BOUND, quantizer + ": " + bytes + " bytes a step");
            }
        }
    }

    @Test
    void oneArrayOfCodesAStepIsSeen() {
        long bytes = fewest(() -> sink = new byte[FEATURES * FEATURES]);
        assertTrue(bytes >= BOUND, bytes + " bytes");
    }

    private static volatile byte[] sink = {};
}
