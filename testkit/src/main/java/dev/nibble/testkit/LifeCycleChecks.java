package dev.nibble.testkit;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.gemm.Epilogue;
import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Product;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.Granularity;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.spi.Backend;
import dev.nibble.spi.BackendOptions;
import dev.nibble.spi.BackendProvider;
import dev.nibble.spi.BlockCopy;
import dev.nibble.spi.DeviceState;
import dev.nibble.spi.NonFinite;
import dev.nibble.spi.Operand;
import dev.nibble.spi.Quantized;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.state.StateVector;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Role;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import dev.nibble.testkit.data.Matrix;
import dev.nibble.testkit.data.SpecTable;
import dev.nibble.testkit.run.Rig;
import java.util.List;
import org.junit.jupiter.api.function.Executable;

/** Who owns what and how long, what may be read when, and what happens to those who do not ask. */
final class LifeCycleChecks {
    private static final StepContext CONTEXT = StepContext.train(0, 0);
    private static final int EXTENT = 256; // large enough that padding and scales weigh little
    private static final long SLACK = 8192; // bytes of padding

    private final BackendProvider provider;

    LifeCycleChecks(BackendProvider provider) {
        this.provider = provider;
    }

    private Backend open() {
        return provider.open(BackendOptions.withSeed(1));
    }

    private static Tensor tensor(Backend backend, float... values) {
        Tensor tensor = backend.allocate("x", DType.FP32, Shape.of(1, values.length), MemoryTag.PARAMETER);
        backend.write(tensor, values);
        return tensor;
    }

    private static QuantizeSpec int8() {
        return QuantizeSpec.both(
                Role.INPUT, List.of(SpecTable.int8(new Granularity.PerTensor(), Rounding.NEAREST_EVEN)));
    }

    private static Quantized quantize(Backend backend, StepScope scope, QuantizeSpec spec, Tensor x) {
        try (DeviceState state = backend.allocateState(List.of())) {
            return backend.quantization().quantize(scope, spec, Rig.SITE, x, state);
        }
    }

    private static void assertIllegalState(Executable action) {
        IllegalStateException e = assertThrows(IllegalStateException.class, action);
        assertTrue(e.getMessage() != null && !e.getMessage().isBlank(), "the message is blank");
    }

    private static void assertIllegalArgument(Executable action, String... parts) {
        String message = String.valueOf(
                assertThrows(IllegalArgumentException.class, action).getMessage());
        for (String part : parts) {
            assertTrue(message.contains(part), "'" + message + "' does not say " + part);
        }
    }

    void nothingIsReadInsideAStep() {
        try (Backend backend = open();
                Tensor x = tensor(backend, 1, 2)) {
            try (StepScope scope = backend.beginStep(CONTEXT);
                    Quantized quantized = quantize(backend, scope, int8(), x)) {
                Operand operand = quantized.operand(Contraction.COLUMNS);
                assertIllegalState(() -> backend.readFloats(x));
                assertIllegalState(() -> backend.readCodes(operand, 0));
                assertIllegalState(() -> backend.readScales(operand, 0));
                assertIllegalState(backend::takeNonFinite);
            }
            assertArrayEquals(new float[] {1, 2}, backend.readFloats(x));
            assertEquals(List.of(), backend.takeNonFinite());
        }
    }

    void oneStepIsOpenAtATime() {
        try (Backend backend = open()) {
            try (StepScope scope = backend.beginStep(CONTEXT)) {
                assertEquals(CONTEXT, scope.context());
                assertIllegalState(() -> backend.beginStep(CONTEXT));
            }
            backend.beginStep(CONTEXT).close();
        }
    }

    void stepsFreeWhatTheyAllocated() {
        try (Backend backend = open();
                Tensor x = tensor(backend, 127, -2, 64)) {
            StepScope scope = backend.beginStep(CONTEXT);
            Tensor left = scope.allocate("left", DType.FP32, Shape.of(64, 64));
            Tensor kept = scope.allocate("kept", DType.FP32, Shape.of(3)).share();
            Operand operand;
            try (Quantized quantized = quantize(backend, scope, int8(), x)) {
                operand = quantized.operand(Contraction.ROWS).share();
            }
            scope.close();
            scope.close();
            assertIllegalState(left::share);
            assertIllegalState(() -> scope.allocate("late", DType.FP32, Shape.of(1)));
            assertEquals(3, backend.readFloats(kept).length);
            assertArrayEquals(new byte[] {127, -2, 64}, backend.readCodes(operand, 0));
            assertArrayEquals(new float[] {1}, backend.readScales(operand, 0));
            kept.close();
            operand.close();
            assertIllegalState(() -> backend.readCodes(operand, 0));
            assertEquals(0, backend.memory().live(MemoryTag.SCRATCH), "bytes live after the step");
        }
    }

    void closedHandlesAreRefused() {
        try (Backend backend = open()) {
            Tensor x = tensor(backend, 1, 2);
            Tensor same = x.share();
            x.close();
            x.close();
            assertIllegalState(x::share);
            assertIllegalState(() -> backend.readFloats(x));
            assertIllegalState(() -> backend.write(x, new float[2]));
            assertArrayEquals(new float[] {1, 2}, backend.readFloats(same), "another handle lives on");
            try (StepScope scope = backend.beginStep(CONTEXT)) {
                assertIllegalState(() -> backend.neural().zero(scope, x));
                assertIllegalState(() -> quantize(backend, scope, int8(), x));
            }
            same.close();
            assertNothingLives(backend);
        }
    }

    void closedBackendsRefuseWork() {
        Backend backend = open();
        Tensor x = tensor(backend, 1);
        backend.beginStep(CONTEXT).allocate("t", DType.FP32, Shape.of(4));
        backend.close();
        backend.close();
        assertEquals(0, backend.memory().live(MemoryTag.SCRATCH), "an open step is closed with its backend");
        assertIllegalState(() -> backend.beginStep(CONTEXT));
        assertIllegalState(() -> backend.readFloats(x));
        assertIllegalState(() -> backend.allocate("y", DType.FP32, Shape.of(1), MemoryTag.SCRATCH));
        assertIllegalState(() -> backend.allocateState(List.of(StateVector.scalar("a", 1))));
        assertIllegalState(backend::quantization);
        assertIllegalState(backend::gemm);
        assertIllegalState(backend::neural);
        assertIllegalState(backend::codec);
        assertIllegalState(backend::optimizer);
    }

    void newMemoryIsZero() {
        try (Backend backend = open()) {
            for (int round = 0; round < 2; round++) {
                try (Tensor x = backend.allocate("x", DType.FP32, Shape.of(3, 5), MemoryTag.SCRATCH)) {
                    assertArrayEquals(new float[15], backend.readFloats(x), "round " + round);
                    backend.write(x, Matrix.normal(1, 3, 5, 1).values());
                }
            }
        }
    }

    void stateStartsWithItsFirstValues() {
        List<StateVector> vectors =
                List.of(new StateVector("history", List.of(1f, -0f, Float.NaN)), StateVector.scalar("one", 3));
        try (Backend backend = open();
                DeviceState state = backend.allocateState(vectors)) {
            assertArrayEquals(new float[] {1, -0f, Float.NaN}, backend.readFloats(state.get("history")));
            assertArrayEquals(new float[] {3}, backend.readFloats(state.get("one")));
            assertTrue(backend.memory().live(MemoryTag.STATE) >= 16, "state is not counted as such");
        }
    }

    void misfitsAreRefusedWithBothShapes() {
        try (Backend backend = open();
                Tensor x = tensor(backend, 1, 2);
                Tensor wide = backend.allocate("wide", DType.FP32, Shape.of(2, 4), MemoryTag.SCRATCH);
                Tensor tall = backend.allocate("tall", DType.FP32, Shape.of(2, 3), MemoryTag.SCRATCH);
                Tensor empty = backend.allocate("empty", DType.FP32, Shape.of(0, 3), MemoryTag.SCRATCH);
                Tensor ids = backend.allocate("ids", DType.INT32, Shape.of(2), MemoryTag.SCRATCH)) {
            assertIllegalArgument(() -> backend.write(x, new float[3]), "2", "3");
            assertIllegalArgument(() -> backend.write(ids, new float[2]));
            assertIllegalArgument(() -> backend.readFloats(ids));
            try (StepScope scope = backend.beginStep(CONTEXT);
                    Quantized a = quantize(backend, scope, int8(), wide);
                    Quantized b = quantize(backend, scope, int8(), tall)) {
                Operand left = a.operand(Contraction.COLUMNS);
                Operand right = b.operand(Contraction.COLUMNS);
                GemmSpec output = GemmSpec.of(Product.OUTPUT, Epilogue.STORE);
                assertIllegalArgument(
                        () -> backend.gemm().multiply(scope, output, Rig.SITE, left, right, x),
                        Rig.SITE.name(),
                        "[2, 4]",
                        "[2, 3]");
                assertIllegalArgument(
                        () -> backend.gemm().multiply(scope, output, Rig.SITE, left, left, x),
                        Rig.SITE.name(),
                        "[1, 2]",
                        "[2, 2]");
                assertIllegalArgument(() -> backend.neural().addInPlace(scope, wide, tall), "[2, 4]", "[2, 3]");
                assertIllegalArgument(() -> backend.neural().swiGlu(scope, tall), "[2, 3]");
                assertIllegalArgument(() -> backend.neural().softmax(scope, wide, 1, true), "[2, 4]");
                BlockCopy copy = BlockCopy.whole(2, 4);
                assertIllegalArgument(() -> backend.neural().copyBlock(scope, wide, tall, copy), "[2, 3]", "[2, 4]");
                assertIllegalArgument(() -> quantize(backend, scope, int8(), empty), "[0, 3]", Rig.SITE.name());
            }
        }
    }

    /** A tensor that no backend has made. */
    private record Foreign() implements Tensor {
        @Override
        public String label() {
            return "foreign";
        }

        @Override
        public DType dtype() {
            return DType.FP32;
        }

        @Override
        public Shape shape() {
            return Shape.of(1);
        }

        @Override
        public Tensor share() {
            return this;
        }

        @Override
        public void close() {}
    }

    void othersTensorsAreRefused() {
        try (Backend backend = open();
                Tensor foreign = new Foreign()) {
            assertIllegalArgument(() -> backend.write(foreign, new float[1]), "foreign");
            assertIllegalArgument(() -> backend.readFloats(foreign), "foreign");
        }
    }

    void memoryIsCountedByPurpose() {
        try (Backend backend = open()) {
            Shape shape = Shape.of(EXTENT, EXTENT);
            long bytes = DType.FP32.bytes(shape);
            for (MemoryTag tag : MemoryTag.values()) {
                long before = backend.memory().live(tag);
                try (Tensor tensor = backend.allocate("t", DType.FP32, shape, tag)) {
                    assertTook(bytes, backend.memory().live(tag) - before, tag.toString());
                    assertEquals(shape, tensor.shape());
                    assertTrue(
                            backend.memory().peakBytes() >= bytes,
                            "peak " + backend.memory().peakBytes());
                }
            }
            Shape odd = Shape.of(13, 7);
            long before = backend.memory().live(MemoryTag.STATE);
            try (Tensor _ = backend.allocate("t", DType.FP32, odd, MemoryTag.STATE)) {
                assertEquals(
                        backend.memoryLayout().bytes(DType.FP32, odd),
                        backend.memory().live(MemoryTag.STATE) - before,
                        "bytes of a tensor " + odd + " by the backend's own layout");
            }
            assertNothingLives(backend);
        }
    }

    private static void assertTook(long expected, long actual, String what) {
        assertTrue(
                actual >= expected && actual <= expected + SLACK,
                "%s: %d bytes were counted, but %d are needed, and at most %d of padding"
                        .formatted(what, actual, expected, SLACK));
    }

    private static void assertNothingLives(Backend backend) {
        for (MemoryTag tag : MemoryTag.values()) {
            assertEquals(0, backend.memory().live(tag), tag + " bytes live, but everything was closed");
        }
    }

    /** What a format costs shows that it is stored: codes in their own bits, and their scale. */
    void codesTakeTheBytesOfTheirFormat() {
        try (Backend backend = open();
                Tensor x = backend.allocate("x", DType.FP32, Shape.of(EXTENT, EXTENT), MemoryTag.PARAMETER)) {
            backend.write(x, Matrix.normal(1, EXTENT, EXTENT, 1).values());
            for (DType format : SpecTable.formats()) {
                if (format != DType.FP32) { // an unscaled FP32 operand may share the memory of x
                    PlaneSpec plane = SpecTable.tensor(format);
                    QuantizeSpec spec =
                            QuantizeSpec.both(Role.INPUT, List.of(plane)).only(Contraction.ROWS);
                    try (StepScope scope = backend.beginStep(CONTEXT);
                            Quantized quantized = quantize(backend, scope, spec, x)) {
                        Operand operand = quantized.operand(Contraction.ROWS);
                        scope.save(operand);
                        scope.save(operand);
                        DType stored = operand.storedFormat(0);
                        assertTook(
                                stored.bytes(Shape.of(EXTENT, EXTENT)),
                                backend.memory().live(MemoryTag.CONTEXT),
                                format.label() + " stored as " + stored.label());
                    }
                    assertEquals(0, backend.memory().live(MemoryTag.CONTEXT), "context after the step");
                }
            }
        }
    }

    void whatIsNotFiniteIsToldOnce() {
        try (Backend backend = open();
                Tensor x = tensor(backend, 1, Float.NaN);
                Tensor fine = tensor(backend, 1, 2);
                DeviceState state = backend.allocateState(List.of())) {
            Site other = new Site("other", 9);
            try (StepScope scope = backend.beginStep(CONTEXT)) {
                backend.quantization()
                        .quantize(scope, int8(), Rig.SITE, x, state)
                        .close();
                backend.quantization()
                        .quantize(scope, int8(), Rig.SITE, fine, state)
                        .close();
                backend.quantization().quantize(scope, int8(), other, x, state).close();
            }
            List<NonFinite> expected = List.of(new NonFinite(Rig.SITE, Role.INPUT), new NonFinite(other, Role.INPUT));
            assertEquals(expected, backend.takeNonFinite());
            assertEquals(List.of(), backend.takeNonFinite());
        }
    }

    void backendsCoexist() {
        try (Backend one = open();
                Backend two = open();
                Tensor x = tensor(one, 1, 2);
                Tensor y = tensor(two, 3);
                StepScope scope = one.beginStep(CONTEXT)) {
            assertEquals(CONTEXT, scope.context());
            assertArrayEquals(new float[] {3}, two.readFloats(y));
            try (StepScope inner = two.beginStep(StepContext.train(1, 0))) {
                assertEquals(1, inner.context().step());
            }
            assertIllegalState(() -> one.readFloats(x));
        }
    }
}
