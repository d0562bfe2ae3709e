package dev.nibble.reference;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.gemm.Epilogue;
import dev.nibble.gemm.Product;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.spi.Backend;
import dev.nibble.spi.BackendOptions;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearPlan;
import dev.nibble.spi.OptionValues;
import dev.nibble.spi.PlanRequest;
import dev.nibble.spi.Plugins;
import dev.nibble.spi.QuantizerProvider;
import dev.nibble.spi.Site;
import dev.nibble.spi.Spi;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Role;
import java.io.IOException;
import java.io.InputStream;
import java.lang.module.ModuleDescriptor;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;

class ProvidersTests {
    @Test
    void unscaledPlansUseOneFormatEverywhere() {
        Map<String, DType> formats = Map.of("fp32", DType.FP32, "bf16", DType.BF16);
        for (Map.Entry<String, DType> entry : formats.entrySet()) {
            QuantizerProvider provider = Plugins.quantizers().get(entry.getKey());
            OptionValues none = OptionValues.of(provider.name(), provider.options(), Map.of());
            LinearLayer layer = new LinearLayer(new Site("head", 0), 3, 4);
            LinearPlan plan = provider.create(none).linear(layer).plan(new PlanRequest(8, true));
            for (Role role : List.of(Role.INPUT, Role.WEIGHT, Role.GRAD_OUTPUT)) {
                for (Contraction contraction : Contraction.values()) {
                    assertEquals(
                            List.of(PlaneSpec.unscaled(entry.getValue())),
                            plan.quantize(role).operand(contraction).planes());
                }
            }
            assertEquals(Epilogue.STORE, plan.gemm(Product.OUTPUT).epilogue());
            assertEquals(Epilogue.STORE, plan.gemm(Product.GRAD_INPUT).epilogue());
            assertEquals(Epilogue.ADD, plan.gemm(Product.GRAD_WEIGHT).epilogue());
            assertTrue(plan.afterForward().isEmpty() && plan.afterOptimizer().isEmpty());
            LinearPlan again = provider.create(none).linear(layer).plan(new PlanRequest(8, false));
            assertEquals(plan, again);
            assertEquals(Spi.VERSION, provider.spiVersion());
        }
    }

    @Test
    void unscaledQuantizersHaveNoOptions() {
        QuantizerProvider provider = Plugins.quantizers().get("fp32");
        IllegalArgumentException e = assertThrows(
                IllegalArgumentException.class,
                () -> OptionValues.of("fp32", provider.options(), Map.of("block", "3")));
        assertEquals("quantizer fp32: 'block' is not an option; there are none", e.getMessage());
    }

    @Test
    void referenceBackendIsAlwaysThereAndNeverPreferred() {
        ReferenceBackendProvider provider = new ReferenceBackendProvider();
        assertTrue(provider.availability().available());
        assertEquals(0, provider.preference());
        assertEquals(Spi.VERSION, provider.spiVersion());
        try (Backend backend = Plugins.openBackend("reference", BackendOptions.withSeed(1))) {
            assertEquals("reference", backend.name());
            assertEquals(provider.description(), backend.description());
        }
    }

    @Test
    void servicesOfTheClassPathAreThoseOfTheModule() throws IOException {
        ModuleDescriptor module;
        try (InputStream in = stream("module-info.class")) {
            module = ModuleDescriptor.read(in);
        }
        assertEquals(2, module.provides().size());
        for (ModuleDescriptor.Provides provides : module.provides()) {
            Set<String> listed;
            try (InputStream in = stream("META-INF/services/" + provides.service())) {
                String text = new String(in.readAllBytes(), StandardCharsets.UTF_8);
                listed = new HashSet<>(text.lines().toList());
            }
            assertEquals(new HashSet<>(provides.providers()), listed, provides.service());
        }
    }

    /** Reads from where the provider was loaded, since other modules on the path have files of the same names. */
    private static InputStream stream(String name) throws IOException {
        String self = ReferenceBackendProvider.class.getName().replace('.', '/') + ".class";
        String where = ReferenceBackendProvider.class.getResource("/" + self).toString();
        return URI.create(where.substring(0, where.length() - self.length()) + name)
                .toURL()
                .openStream();
    }
}
