package dev.nibble.backend.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.error.NotAvailableException;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.List;
import jcuda.driver.CUresult;
import org.junit.jupiter.api.Test;

/** A fault of a kernel: the driver refuses all further work of the process, so this class has one test, and a JVM of its own. */
class CudaFaultTests {
    private static final long NOBODYS = 256; // an address that no allocation has

    private static void writeWildly(CudaRuntime runtime, Tensor x) {
        int[] value = {1};
        Args args = runtime.args()
                .pointer(NOBODYS)
                .pointer(CudaTensor.of(x).address())
                .i64(value.length)
                .about(x);
        runtime.kernels().get("elementwise", "add_in_place").launch(1, 32, args);
    }

    private static void assertTells(Exception e, String... parts) {
        for (String part : parts) {
            assertTrue(String.valueOf(e.getMessage()).contains(part), e::getMessage);
        }
    }

    @Test
    void aWrongAddressIsToldWithCallKernelShapeAndDeviceAndEndsTheProcesssUseOfIt() {
        CudaBackend backend = Gpu.open();
        CudaBackend other = Gpu.open();
        CudaRuntime runtime = backend.runtime();
        Tensor x = backend.allocate("x", DType.FP32, Shape.of(3, 5), MemoryTag.PARAMETER);
        writeWildly(runtime, x);
        CudaException late = assertThrows(CudaException.class, () -> backend.readFloats(x));
        assertEquals(CUresult.CUDA_ERROR_ILLEGAL_ADDRESS, late.code());
        assertTells(
                late,
                "wait before a copy to the host",
                "elementwise.add_in_place for x fp32[3, 5]",
                runtime.device().name(),
                "CUDA_ERROR_ILLEGAL_ADDRESS (700)",
                "-Dnibble.cuda.synchronous=true");
        for (CudaBackend each : List.of(backend, other)) {
            CudaException again = assertThrows(
                    CudaException.class, () -> each.allocate("y", DType.FP32, Shape.of(8), MemoryTag.SCRATCH));
            assertTells(again, "failed, since wait before a copy to the host failed on");
            each.close(); // tells nothing more, so that it hides no failure
        }
        NotAvailableException refused = assertThrows(NotAvailableException.class, Gpu::open);
        assertTells(refused, "not available in this process any more", "start a new one");
    }
}
