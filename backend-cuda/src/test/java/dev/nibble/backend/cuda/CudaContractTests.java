package dev.nibble.backend.cuda;

import dev.nibble.spi.BackendProvider;
import dev.nibble.testkit.BackendContract;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.TestInfo;

/**
 * The contract of every backend; where there is no GPU, skipped. All sums keep the order of the plain code but those of products
 * of 8- and 16-bit floats, which tensor cores add.
 */
class CudaContractTests extends BackendContract {
    private static final Set<String> FLOAT_PRODUCTS =
            Set.of("multipliesEveryPair", "longContractionsAreSummedInParts", "specialValuesPassThroughProducts");

    private boolean inOrder;

    @BeforeEach
    void requireGpu(TestInfo test) {
        Gpu.require();
        inOrder = !FLOAT_PRODUCTS.contains(test.getTestMethod().orElseThrow().getName());
    }

    @Override
    protected BackendProvider provider() {
        return UsedKernels.watching(new CudaBackendProvider());
    }

    @Override
    protected List<Integer> threads() {
        return List.of(1); // of the host: none computes
    }

    @Override
    protected boolean sumsInOrder() {
        return inOrder;
    }
}
