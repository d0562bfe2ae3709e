package dev.nibble.backend.cuda;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.error.NibbleException;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

class CudaMemoryTests {
    private static final int LARGE = 5_000_003; // more than the pinned memory holds at once

    private static float[] numbers(int count, long seed) {
        SplittableRandom random = new SplittableRandom(seed);
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = (float) random.nextDouble(-1, 1);
        }
        return values;
    }

    private static Tensor allocate(CudaBackend backend, int count, MemoryTag tag) {
        return backend.allocate("x", DType.FP32, Shape.of(count), tag);
    }

    @Test
    void whatIsWrittenIsReadBack() {
        try (CudaBackend backend = Gpu.open()) {
            for (int count : List.of(0, 1, 13, 127, 128, 129, 65537, LARGE)) {
                try (Tensor x = allocate(backend, count, MemoryTag.PARAMETER)) {
                    assertArrayEquals(new float[count], backend.readFloats(x), "new memory of " + count);
                    float[] values = numbers(count, count);
                    backend.write(x, values);
                    float[] sent = values.clone();
                    Arrays.fill(values, Float.NaN); // the array is the caller's again
                    assertArrayEquals(sent, backend.readFloats(x), count + " values");
                }
            }
        }
    }

    @Test
    void manySmallWritesKeepTheirOrder() {
        try (CudaBackend backend = Gpu.open();
                Tensor x = allocate(backend, 1000, MemoryTag.PARAMETER)) {
            float[] last = new float[1000];
            for (int i = 0; i < 20000; i++) {
                last[i % 1000] = i;
                backend.write(x, last);
            }
            assertArrayEquals(last, backend.readFloats(x));
        }
    }

    private static List<Long> addressesOfAStep(CudaBackend backend, int step) {
        List<Long> addresses = new ArrayList<>();
        try (StepScope scope = backend.beginStep(StepContext.train(step, 0))) {
            CudaScope cuda = CudaScope.of(scope);
            List<CudaTensor> kept = new ArrayList<>();
            for (int i = 1; i < 200; i++) {
                CudaTensor x = cuda.allocate("x", DType.FP32, Shape.of(i * 1237L));
                CudaTensor codes = cuda.allocateCodes("codes", DType.INT4, i, 300);
                addresses.add(x.address());
                addresses.add(codes.address());
                if (i % 3 == 0) {
                    x.close();
                } else {
                    kept.add(codes);
                }
            }
            assertTrue(kept.size() > 100);
        }
        return addresses;
    }

    @Test
    void stepsGetTheSameAddresses() {
        try (CudaBackend backend = Gpu.open()) {
            addressesOfAStep(backend, 0);
            List<Long> second = addressesOfAStep(backend, 1);
            try (Tensor lasting = allocate(backend, 1000, MemoryTag.PARAMETER)) {
                for (int step = 2; step < 6; step++) {
                    assertEquals(second, addressesOfAStep(backend, step), lasting + ", step " + step);
                }
            }
            assertEquals(0, backend.runtime().memory().openTensors());
        }
    }

    @Test
    void codesArePaddedToTiles() {
        assertEquals(128, CudaMemory.codesPitch(DType.INT8, 1));
        assertEquals(256, CudaMemory.codesPitch(DType.INT8, 129));
        assertEquals(128, CudaMemory.codesPitch(DType.INT4, 129));
        assertEquals(512, CudaMemory.codesPitch(DType.FP32, 13));
        try (CudaBackend backend = Gpu.open();
                CudaTensor codes =
                        backend.runtime().memory().allocateCodes("codes", DType.BF16, 129, 130, MemoryTag.SCRATCH)) {
            assertEquals(512, codes.pitchBytes());
            assertEquals(512 * 256, codes.bytes());
            assertEquals(Shape.of(129, 130), codes.shape());
            assertEquals(0, codes.address() % 256);
        }
    }

    @Test
    void outOfMemorySaysWhatToLowerAndTheBackendGoesOn() {
        try (CudaBackend backend = Gpu.open();
                Tensor x = allocate(backend, 1000, MemoryTag.PARAMETER)) {
            float[] values = numbers(1000, 1);
            backend.write(x, values);
            Shape huge = Shape.of(1 << 20, 1 << 20);
            NibbleException e = assertThrows(
                    NibbleException.class, () -> backend.allocate("logits", DType.FP32, huge, MemoryTag.SCRATCH));
            for (String part : List.of("logits fp32" + huge, "4194304 MiB", "free of", "lower the batch")) {
                assertTrue(e.getMessage().contains(part), e.getMessage());
            }
            assertArrayEquals(values, backend.readFloats(x));
            try (Tensor y = allocate(backend, LARGE, MemoryTag.SCRATCH)) {
                assertEquals(LARGE, backend.readFloats(y).length);
            }
            assertEquals(4096, backend.memory().live(MemoryTag.PARAMETER));
        }
    }

    /** Segments that hold nothing are given back before a request fails. */
    @Test
    void memoryThatWasFreedServesALargerRequest() {
        try (CudaBackend backend = Gpu.open()) {
            long free = backend.runtime().device().freeBytes();
            long part = free / 3 / Float.BYTES;
            for (int i = 0; i < 2; i++) {
                Shape shape = Shape.of(2, part / 2);
                backend.allocate("part", DType.FP32, shape, MemoryTag.PARAMETER).close();
                backend.allocate("part", DType.FP32, shape, MemoryTag.SCRATCH).close();
            }
            Shape most = Shape.of(2, part * 5 / 4);
            backend.allocate("most", DType.FP32, most, MemoryTag.GRADIENT).close();
        }
    }

    @Test
    void everyWayToAllocateServes() {
        List<CudaSettings> ways = List.of(
                new CudaSettings(false, true, false, true, false, "auto"),
                new CudaSettings(true, true, true, false, true, "auto"),
                new CudaSettings(true, false, false, false, false, "ptx"));
        for (CudaSettings settings : ways) {
            try (CudaBackend backend = Gpu.open(settings);
                    Tensor x = allocate(backend, 300, MemoryTag.PARAMETER)) {
                float[] values = numbers(300, 2);
                backend.write(x, values);
                assertArrayEquals(values, backend.readFloats(x), settings.toString());
                Tensor fresh;
                try (StepScope scope = backend.beginStep(StepContext.train(0, 0))) {
                    fresh = scope.allocate("fresh", DType.FP32, Shape.of(10)).share();
                }
                boolean poisoned = Float.isNaN(backend.readFloats(fresh)[9]);
                assertTrue(poisoned || !settings.poison(), settings.toString());
                fresh.close();
            }
        }
    }

    @Test
    void aWriteBehindATensorIsSeen() {
        CudaBackend backend = Gpu.open(new CudaSettings(true, false, true, false, false, "auto"));
        CudaTensor x = CudaTensor.of(allocate(backend, 64, MemoryTag.PARAMETER));
        backend.runtime().stream().fill(x.address(), (byte) 1, 257);
        NibbleException e = assertThrows(NibbleException.class, x::close);
        assertTrue(e.getMessage().contains("behind"), e.getMessage());
        backend.close();
    }

    @Test
    void aLaunchThatIsRefusedNamesItsKernelAndShape() {
        try (CudaBackend backend = Gpu.open();
                Tensor x = allocate(backend, 8, MemoryTag.PARAMETER)) {
            CudaRuntime runtime = backend.runtime();
            Kernel kernel = runtime.kernels().get("codec", "codecEncode");
            NibbleException e = assertThrows(
                    NibbleException.class,
                    () -> kernel.launch(1, 1, 1, 4096, 0, runtime.args().about(x)));
            assertTrue(
                    e.getMessage().contains("codec.codecEncode")
                            && e.getMessage().contains("x fp32[8]"),
                    e.getMessage());
            assertTrue(e.getMessage().contains(runtime.device().name()), e.getMessage());
            assertEquals(8, backend.readFloats(x).length, "the device goes on");
            assertFalse(backend.description().isBlank());
        }
    }

    @Test
    void anotherThreadMayTakeTheBackendOver() throws InterruptedException {
        try (CudaBackend backend = Gpu.open();
                Tensor x = allocate(backend, 100, MemoryTag.PARAMETER)) {
            float[] values = numbers(100, 4);
            Thread other = new Thread(() -> backend.write(x, values));
            other.start();
            other.join();
            assertArrayEquals(values, backend.readFloats(x));
        }
    }
}
