package dev.nibble.conformance;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.error.NotAvailableException;
import dev.nibble.spi.Availability;
import dev.nibble.spi.Backend;
import dev.nibble.spi.BackendChoice;
import dev.nibble.spi.BackendOptions;
import dev.nibble.spi.Plugins;
import org.junit.jupiter.api.Test;

/** What {@code --backend auto} opens here, and what asking for a GPU by name says. */
class BackendChoiceTests {
    private static final BackendOptions OPTIONS = BackendOptions.withSeed(1);

    @Test
    void autoTakesTheGpuWhereThereIsOneElseTheCpu() {
        boolean gpu = Plugins.backends().get("cuda").availability().available();
        try (Backend backend = Plugins.openBackend("auto", OPTIONS)) {
            assertEquals(gpu ? "cuda" : "cpu", backend.name());
        }
    }

    @Test
    void autoSaysWhyItDoesNotTakeTheGpu() {
        Availability availability = Plugins.backends().get("cuda").availability();
        String reason = BackendChoice.of(BackendChoice.AUTO).reason();
        assertEquals(!availability.available(), reason.contains("cuda cannot: " + availability.reason()), reason);
    }

    @Test
    void aGpuThatIsAskedForIsOpenedOrTheReasonTold() {
        Availability availability = Plugins.backends().get("cuda").availability();
        assertFalse(availability.reason().isBlank());
        if (availability.available()) {
            try (Backend backend = Plugins.openBackend("cuda", OPTIONS)) {
                assertEquals("cuda", backend.name());
            }
        } else {
            NotAvailableException e =
                    assertThrows(NotAvailableException.class, () -> Plugins.openBackend("cuda", OPTIONS));
            assertTrue(e.getMessage().contains(availability.reason()), e.getMessage());
        }
    }
}
