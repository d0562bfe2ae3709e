package dev.nibble.conformance;

import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;
import static org.junit.jupiter.api.DynamicTest.dynamicTest;

import dev.nibble.spi.Availability;
import dev.nibble.spi.BackendProvider;
import dev.nibble.spi.Plugins;
import dev.nibble.spi.QuantizerProvider;
import dev.nibble.testkit.QuantizerContract;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/** Every quantizer on the GPU; where there is none, skipped. */
class QuantizersOnCudaTests {
    private static QuantizerContract contract(QuantizerProvider quantizer, BackendProvider cuda) {
        return new QuantizerContract() {
            @Override
            protected QuantizerProvider provider() {
                return quantizer;
            }

            @Override
            protected BackendProvider backend() {
                return cuda;
            }
        };
    }

    @TestFactory
    Stream<DynamicTest> trainsOnADeviceThatIsNotTheHost() {
        BackendProvider cuda = Plugins.backends().get("cuda");
        Availability availability = cuda.availability();
        assumeTrue(availability.available(), availability.reason());
        List<QuantizerProvider> quantizers = Plugins.quantizers().all();
        assertTrue(quantizers.size() >= 8, "saw " + quantizers.size() + " quantizers");
        return quantizers.stream().flatMap(quantizer -> {
            QuantizerContract contract = contract(quantizer, cuda);
            return Stream.of(
                    dynamicTest(quantizer.name() + " trains", contract::lossFallsOnADeviceThatNobodyReads),
                    dynamicTest(quantizer.name() + " resumes", contract::trainingContinuesWhereItWasSaved),
                    dynamicTest(quantizer.name() + " multiplies", contract::everyShapeIsServedOrRefusedByName));
        });
    }
}
