package dev.nibble.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.inject.AbstractModule;
import com.google.inject.ConfigurationException;
import com.google.inject.Guice;
import com.google.inject.Injector;
import com.google.inject.multibindings.OptionalBinder;
import dev.nibble.models.layers.QuantizedLinear;
import dev.nibble.models.layers.StepCounting;
import dev.nibble.spi.BackendChoice;
import java.util.List;
import org.junit.jupiter.api.Test;

class WiringTests {
    /** An application that knows one quantizer, whatever is on the module path. */
    private static final class OwnQuantizers extends AbstractModule {
        private final StepCounting counting = new StepCounting();

        @Override
        protected void configure() {
            OptionalBinder.newOptionalBinder(binder(), QuantizerLookup.class)
                    .setBinding()
                    .toInstance(name -> counting);
        }
    }

    @Test
    void runsInANamedModule() {
        assertEquals("dev.nibble.models", Runs.class.getModule().getName());
    }

    @Test
    void injectorGivesOneRunsAndCreateANewOne() {
        Injector injector = Guice.createInjector(new NibbleModule());
        assertSame(injector.getInstance(Runs.class), injector.getInstance(Runs.class));
        assertNotSame(Runs.create(), Runs.create());
        assertEquals(
                List.of("classify", "images", "resnet", "tag", "text"),
                Runs.create().presets());
    }

    @Test
    void applicationReplacesALookUp() {
        OwnQuantizers application = new OwnQuantizers();
        RunResult result = RunFixture.runs(application)
                .train(RunFixture.tiny().withQuantizer(QuantizerChoice.of("of-the-application")), RunListener.SILENT);
        assertEquals(RunResult.Status.COMPLETED, result.status(), result.message());
        assertEquals(5, application.counting.layers()); // asked once a layer
    }

    @Test
    void nothingIsBoundByAccident() {
        Injector injector = Guice.createInjector(new NibbleModule());
        assertThrows(ConfigurationException.class, () -> injector.getInstance(TextPreset.class));
        assertThrows(ConfigurationException.class, () -> injector.getInstance(QuantizedLinear.class));
    }

    @Test
    void autoIsTheBackendWithTheHighestPreference() {
        BackendLookup lookup = name -> BackendChoice.of(name).provider();
        assertEquals("reference", lookup.get("reference").name());
        assertTrue(lookup.get("auto").preference() >= lookup.get("reference").preference());
    }
}
