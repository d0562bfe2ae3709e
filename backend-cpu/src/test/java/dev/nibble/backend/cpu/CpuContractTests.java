package dev.nibble.backend.cpu;

import dev.nibble.spi.BackendProvider;
import dev.nibble.testkit.BackendContract;

/** On one, two and three threads. */
class CpuContractTests extends BackendContract {
    @Override
    protected BackendProvider provider() {
        return new CpuBackendProvider();
    }
}
