package dev.nibble.conformance;

import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.DynamicTest.dynamicTest;

import dev.nibble.spi.BackendProvider;
import dev.nibble.spi.Plugins;
import dev.nibble.spi.QuantizerProvider;
import dev.nibble.testkit.QuantizerContract;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/** Every quantizer on the backend that has threads; on the plain code each proves itself in its own module. */
class QuantizersOnCpuTests {
    private static QuantizerContract contract(QuantizerProvider quantizer, BackendProvider cpu) {
        return new QuantizerContract() {
            @Override
            protected QuantizerProvider provider() {
                return quantizer;
            }

            @Override
            protected BackendProvider backend() {
                return cpu;
            }
        };
    }

    @TestFactory
    Stream<DynamicTest> trainsTheSameOnAnyNumberOfThreads() {
        List<QuantizerProvider> quantizers = Plugins.quantizers().all();
        assertTrue(quantizers.size() >= 8, "saw " + quantizers.size() + " quantizers");
        BackendProvider cpu = Plugins.backends().get("cpu");
        return quantizers.stream().flatMap(quantizer -> {
            QuantizerContract contract = contract(quantizer, cpu);
            return Stream.of(
                    dynamicTest(quantizer.name() + " on 1 to 3 threads", contract::threadsChangeNoNumber),
                    dynamicTest(quantizer.name() + " trains", contract::lossFallsOnADeviceThatNobodyReads),
                    dynamicTest(quantizer.name() + " resumes", contract::trainingContinuesWhereItWasSaved),
                    dynamicTest(quantizer.name() + " multiplies", contract::everyShapeIsServedOrRefusedByName));
        });
    }
}
