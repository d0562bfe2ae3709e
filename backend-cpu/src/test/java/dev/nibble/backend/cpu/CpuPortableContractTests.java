package dev.nibble.backend.cpu;

import dev.nibble.spi.BackendProvider;
import dev.nibble.testkit.BackendContract;

/** The portable path, on one, two and three threads. */
class CpuPortableContractTests extends BackendContract {
    @Override
    protected BackendProvider provider() {
        return new CpuPortableProvider();
    }
}
