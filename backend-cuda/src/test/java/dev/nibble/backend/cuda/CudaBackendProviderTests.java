package dev.nibble.backend.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.error.NotAvailableException;
import dev.nibble.spi.Availability;
import dev.nibble.spi.BackendOptions;
import dev.nibble.spi.BackendProvider;
import dev.nibble.spi.Plugins;
import dev.nibble.spi.Spi;
import java.util.List;
import org.junit.jupiter.api.Test;

class CudaBackendProviderTests {
    private static final List<String> ALL = List.of("sm_90a", "sm_89", "sm_80", "compute_89", "compute_80");
    private static final List<String> FEW = List.of("sm_90a", "compute_80");

    @Test
    void isFoundByName() {
        BackendProvider found = Plugins.backends().get("cuda");
        assertInstanceOf(CudaBackendProvider.class, found);
        assertTrue(Spi.accepts(found.spiVersion()));
    }

    @Test
    void whatIsNotAvailableSaysWhyAndIsNotOpened() {
        CudaBackendProvider provider = new CudaBackendProvider();
        Availability availability = provider.availability();
        assertFalse(availability.reason().isBlank());
        assertEquals(availability, provider.availability(), "found out once");
        if (!availability.available()) {
            NotAvailableException e =
                    assertThrows(NotAvailableException.class, () -> provider.open(BackendOptions.withSeed(1)));
            assertTrue(e.getMessage().contains(availability.reason()), e.getMessage());
        }
    }

    @Test
    void anOldDeviceIsRefusedByItsArchitecture() {
        Availability turing = DeviceProbe.judge("T4", 7, 5, 13000, ALL);
        assertFalse(turing.available());
        assertEquals("T4, compute capability 7.5, driver for CUDA 13.0, but 8.0 or newer is needed", turing.reason());
    }

    @Test
    void aBuildWithoutKernelsIsRefused() {
        Availability none = DeviceProbe.judge("H100", 9, 0, 13000, List.of());
        assertFalse(none.available());
        assertTrue(none.reason().contains("no kernels"), none.reason());
    }

    @Test
    void aDeviceRunsItsOwnCodeElseThatOfAnOlderOneOfItsMajorNumberElseTheIntermediateForm() {
        assertEquals("sm_90a", KernelImages.choose(9, 0, "auto", ALL));
        assertEquals("sm_89", KernelImages.choose(8, 9, "auto", ALL));
        assertEquals("sm_80", KernelImages.choose(8, 6, "auto", ALL));
        assertEquals("sm_80", KernelImages.choose(8, 7, "auto", ALL));
        assertEquals("sm_80", KernelImages.choose(8, 0, "auto", ALL));
        assertEquals("sm_80", KernelImages.choose(8, 9, "auto", List.of("sm_80", "compute_89", "compute_80")));
        assertEquals("compute_80", KernelImages.choose(8, 6, "auto", List.of("sm_90a", "sm_89", "compute_80")));
        assertEquals("compute_89", KernelImages.choose(9, 0, "auto", List.of("sm_89", "compute_89", "compute_80")));
        assertEquals("compute_89", KernelImages.choose(10, 0, "auto", ALL));
        assertEquals("compute_89", KernelImages.choose(10, 3, "auto", ALL));
        assertEquals("compute_80", KernelImages.choose(12, 0, "auto", FEW));
        assertEquals("compute_80", KernelImages.choose(8, 9, "auto", FEW));
        assertEquals("compute_80", KernelImages.choose(9, 0, "ptx", ALL));
        assertEquals("sm_80", KernelImages.choose(9, 0, "sm_80", ALL));
        assertTrue(DeviceProbe.judge("H100", 9, 0, 13000, FEW).available());
        assertTrue(DeviceProbe.judge("B200", 10, 0, 13000, FEW).reason().contains("compute_80"));
        assertFalse(DeviceProbe.judge("A100", 8, 0, 13000, List.of("sm_90a")).available());
    }

    @Test
    void theNewestIntermediateFormThatADeviceUnderstandsIsTaken() {
        List<String> both = List.of("sm_90a", "compute_89", "compute_80");
        assertEquals("compute_89", KernelImages.choose(8, 9, "auto", both));
        assertEquals("compute_89", KernelImages.choose(12, 0, "auto", both));
        assertEquals("compute_80", KernelImages.choose(8, 6, "auto", both));
        assertEquals("sm_90a", KernelImages.choose(9, 0, "auto", both));
    }

    @Test
    void codeOfOtherArchitecturesIsMarkedAsNeverRun() {
        assertTrue(DeviceProbe.judge("H100", 9, 0, 13000, ALL)
                .reason()
                .endsWith("kernels for sm_90a (compiled, never run here: sm_89, sm_80)"));
        assertTrue(DeviceProbe.judge("H100", 9, 0, 13000, FEW).reason().endsWith("kernels for sm_90a"));
        assertTrue(DeviceProbe.judge("B200", 10, 0, 13000, FEW)
                .reason()
                .endsWith("kernels for compute_80 (compiled, never run here: sm_90a)"));
    }

    @Test
    void machineCodeThatNoDeviceHasTestedIsMarked() {
        assertTrue(DeviceProbe.judge("A100", 8, 0, 13000, ALL)
                .reason()
                .endsWith("kernels for sm_80, which bench/gpu/run.sh has not tested on such a device yet"
                        + " (compiled, never run here: sm_90a, sm_89)"));
        assertFalse(DeviceProbe.judge("B200", 10, 0, 13000, ALL).reason().contains("not tested"));
    }
}
