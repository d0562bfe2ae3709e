package dev.nibble.backend.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.gemm.Epilogue;
import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Product;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.OperandSpec;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.spi.AttentionShape;
import dev.nibble.spi.DeviceState;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.state.StateInput;
import dev.nibble.state.StateProgram;
import dev.nibble.state.StateVector;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

/** What the kernels do not reach is refused by name, before the driver is asked; the backend goes on. */
class CudaLimitTests {
    private static final Site SITE = new Site("blocks.0.mlp.down", 5);

    private CudaBackend backend;
    private Tensor x;

    @BeforeEach
    void open() {
        backend = Gpu.open();
        x = backend.allocate("x", DType.FP32, Shape.of(1, 1), MemoryTag.PARAMETER);
    }

    @AfterEach
    void close() {
        if (backend != null) {
            assertEquals(0, backend.readFloats(x)[0], "the device goes on");
            x.close();
            backend.close();
        }
    }

    private void assertRefused(Executable work, String... parts) {
        IllegalArgumentException e = assertThrows(IllegalArgumentException.class, work);
        for (String part : parts) {
            assertTrue(e.getMessage().contains(part), e.getMessage());
        }
    }

    private StepScope step() {
        return backend.beginStep(StepContext.train(0, 0));
    }

    @Test
    void gridsBeyondTheDevicesAreRefused() {
        CudaRuntime runtime = backend.runtime();
        Kernel kernel = runtime.kernels().get("elementwise", "relu");
        assertRefused(
                () -> kernel.launch(1, 65536, 1, 32, 0, runtime.args().about(x)),
                "elementwise.relu",
                "1 x 65536 x 1 blocks for x fp32[1, 1]");
        assertRefused(() -> kernel.launch(1L << 31, 1, 1, 32, 0, runtime.args()), "2147483648 x 1 x 1");
    }

    @Test
    void headsThatAreTooWideAreRefused() {
        AttentionShape shape = new AttentionShape(1, 3, 1, 1024);
        try (Tensor qkv = backend.allocate("qkv", DType.FP32, Shape.of(3, 3 * 1024), MemoryTag.SCRATCH);
                StepScope scope = step()) {
            assertRefused(() -> backend.neural().attention(scope, qkv, shape), "heads of 1024 features", "at most 256");
        }
    }

    @Test
    void contractionsBeyond31BitsAreRefused() {
        PlaneSpec plane = PlaneSpec.unscaled(DType.FP32);
        CudaTensor codes = CudaTensor.of(x);
        CudaTensor none = CudaTensor.of(backend.allocate("none", DType.FP32, Shape.of(0), MemoryTag.SCRATCH));
        long k = 1L << 31;
        CudaOperand operand = new CudaOperand(
                new OperandSpec(Contraction.COLUMNS, List.of(plane)),
                1,
                k,
                List.of(new CudaPlane(plane, codes, none, none)));
        try (none;
                StepScope scope = step()) {
            assertRefused(
                    () -> backend.gemm()
                            .multiply(scope, GemmSpec.of(Product.OUTPUT, Epilogue.STORE), SITE, operand, operand, x),
                    "output of layer blocks.0.mlp.down",
                    "[1, 2147483648]",
                    "at most 2147483647");
        }
    }

    @Test
    void programsWithTooManyVectorsAreRefused() {
        StateProgram.Builder b = StateProgram.builder();
        List<StateVector> vectors = new ArrayList<>();
        for (int i = 0; i < 100; i++) {
            vectors.add(StateVector.scalar("v" + i, i));
            b.set("v" + i, b.constant(1));
        }
        StateProgram program = b.build();
        try (DeviceState state = backend.allocateState(vectors);
                StepScope scope = step()) {
            assertRefused(
                    () -> backend.quantization().run(scope, program, state, Map.<StateInput, Tensor>of()),
                    "uses 100 vectors, but at most ");
        }
    }
}
