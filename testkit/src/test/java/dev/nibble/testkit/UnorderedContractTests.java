package dev.nibble.testkit;

import dev.nibble.reference.ReferenceBackendProvider;
import dev.nibble.spi.BackendProvider;
import java.util.List;

/** The path of a backend whose sums have another order: the plain code must keep the bounds of any order, too. */
class UnorderedContractTests extends BackendContract {
    @Override
    protected BackendProvider provider() {
        return new ReferenceBackendProvider();
    }

    @Override
    protected List<Integer> threads() {
        return List.of(1);
    }

    @Override
    protected boolean sumsInOrder() {
        return false;
    }
}
