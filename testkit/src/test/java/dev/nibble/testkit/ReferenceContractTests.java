package dev.nibble.testkit;

import dev.nibble.reference.ReferenceBackendProvider;
import dev.nibble.spi.BackendProvider;
import java.util.List;

/** The plain code against itself: what is left to check are the bounds, the life-cycle and the table. */
class ReferenceContractTests extends BackendContract {
    @Override
    protected BackendProvider provider() {
        return new ReferenceBackendProvider();
    }

    @Override
    protected List<Integer> threads() {
        return List.of(1);
    }
}
