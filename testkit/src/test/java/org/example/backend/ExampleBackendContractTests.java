package org.example.backend;

import dev.nibble.spi.BackendProvider;
import dev.nibble.testkit.BackendContract;

class ExampleBackendContractTests extends BackendContract {
    @Override
    protected BackendProvider provider() {
        return new ExampleBackendProvider();
    }
}
