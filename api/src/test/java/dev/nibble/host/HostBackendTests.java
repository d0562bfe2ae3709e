package dev.nibble.host;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.quant.Contraction;
import dev.nibble.quant.Granularity;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.ScaleRule;
import dev.nibble.reference.ReferenceBackendProvider;
import dev.nibble.spi.Backend;
import dev.nibble.spi.BackendOptions;
import dev.nibble.spi.DeviceState;
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
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class HostBackendTests {
    private static final StepContext CONTEXT = StepContext.train(0, 0);

    private final Backend backend = new ReferenceBackendProvider().open(BackendOptions.withSeed(1));

    @AfterEach
    void close() {
        backend.close();
    }

    private Tensor tensor(float... values) {
        Tensor tensor = backend.allocate("x", DType.FP32, Shape.of(1, values.length), MemoryTag.PARAMETER);
        backend.write(tensor, values);
        return tensor;
    }

    private static QuantizeSpec int8() {
        PlaneSpec plane = PlaneSpec.value(
                DType.INT8, new Granularity.PerTensor(), new ScaleRule.AmaxOverTop(), Rounding.NEAREST_EVEN);
        return QuantizeSpec.both(Role.INPUT, List.of(plane));
    }

    private Quantized quantize(StepScope scope, QuantizeSpec spec, Tensor x) {
        try (DeviceState state = backend.allocateState(List.of())) {
            return backend.quantization().quantize(scope, spec, new Site("s", 0), x, state);
        }
    }

    @Test
    void stepSeenInAnotherModeIsTheSameStep() {
        StepScope step = backend.beginStep(new StepContext(3, 1, StepContext.Mode.TRAIN, 0.5f));
        StepScope advancing = step.in(StepContext.Mode.ADVANCE);
        assertTrue(advancing.context().training());
        assertFalse(advancing.context().keepsContext());
        StepScope again = advancing.in(StepContext.Mode.RECOMPUTE);
        assertEquals(new StepContext(3, 1, StepContext.Mode.RECOMPUTE, 0.5f), again.context());
        assertFalse(again.context().training());
        assertTrue(again.context().keepsContext());
        assertSame(step, again.own());
        long before = backend.memory().live(MemoryTag.CONTEXT);
        Tensor kept = again.allocate("kept", DType.FP32, Shape.of(1, 4));
        again.save(kept);
        again.close(); // ends nothing
        assertEquals(before + 16, backend.memory().live(MemoryTag.CONTEXT));
        assertThrows(IllegalStateException.class, () -> backend.readFloats(kept));
        step.close();
        assertEquals(before, backend.memory().live(MemoryTag.CONTEXT));
    }

    @Test
    void readingInsideAStepThrows() {
        Tensor x = tensor(1, 2);
        try (StepScope scope = backend.beginStep(CONTEXT);
                Quantized quantized = quantize(scope, int8(), x)) {
            Operand operand = quantized.operand(Contraction.COLUMNS);
            IllegalStateException e = assertThrows(IllegalStateException.class, () -> backend.readFloats(x));
            assertEquals("x is read inside a step; a device value can be read after it", e.getMessage());
            assertThrows(IllegalStateException.class, () -> backend.readCodes(operand, 0));
            assertThrows(IllegalStateException.class, () -> backend.readScales(operand, 0));
        }
        assertArrayEquals(new float[] {1, 2}, backend.readFloats(x));
    }

    @Test
    void whatWasNotFiniteIsNotAskedForInsideAStep() {
        try (StepScope _ = backend.beginStep(CONTEXT)) {
            assertThrows(IllegalStateException.class, backend::takeNonFinite);
        }
        assertEquals(List.of(), backend.takeNonFinite());
    }

    @Test
    void closedBackendComputesNothingAndHasClosedItsStep() {
        backend.beginStep(CONTEXT).allocate("t", DType.FP32, Shape.of(4));
        backend.close();
        assertEquals(0, backend.memory().live(MemoryTag.SCRATCH));
        assertThrows(IllegalStateException.class, backend::neural);
        assertThrows(IllegalStateException.class, backend::gemm);
        assertThrows(IllegalStateException.class, backend::quantization);
        IllegalStateException e = assertThrows(IllegalStateException.class, backend::optimizer);
        assertEquals("backend reference is used after it was closed", e.getMessage());
    }

    @Test
    void onlyOneStepIsOpen() {
        try (StepScope scope = backend.beginStep(CONTEXT)) {
            assertEquals(CONTEXT, scope.context());
            IllegalStateException e = assertThrows(IllegalStateException.class, () -> backend.beginStep(CONTEXT));
            assertEquals("backend reference is in a step already; close it first", e.getMessage());
        }
        backend.beginStep(CONTEXT).close();
    }

    @Test
    void stepFreesWhatWasAllocatedInIt() {
        StepScope scope = backend.beginStep(CONTEXT);
        Tensor kept = scope.allocate("t", DType.FP32, Shape.of(4));
        Tensor closed = scope.allocate("u", DType.INT8, Shape.of(4));
        closed.close();
        assertEquals(16, backend.memory().live(MemoryTag.SCRATCH));
        scope.close();
        scope.close();
        assertEquals(0, backend.memory().live(MemoryTag.SCRATCH));
        assertThrows(IllegalStateException.class, kept::share);
        IllegalStateException e =
                assertThrows(IllegalStateException.class, () -> scope.allocate("late", DType.FP32, Shape.of(1)));
        assertEquals("late is allocated in a step that has ended", e.getMessage());
    }

    @Test
    void savedMemoryCountsAsContextOnceUntilClosed() {
        Tensor x = tensor(1, 2, 3, 4, 5);
        try (StepScope scope = backend.beginStep(CONTEXT)) {
            try (Quantized quantized = quantize(scope, int8(), x)) {
                scope.save(quantized.operand(Contraction.COLUMNS));
                scope.save(quantized.operand(Contraction.ROWS)); // the same codes, a scale of its own
                assertEquals(5 + 4 + 4, backend.memory().live(MemoryTag.CONTEXT));
                scope.save(quantized.operand(Contraction.ROWS));
                assertEquals(5 + 4 + 4, backend.memory().live(MemoryTag.CONTEXT));
            }
            assertEquals(0, backend.memory().live(MemoryTag.CONTEXT));
            Tensor t = scope.allocate("t", DType.BF16, Shape.of(3));
            scope.save(t);
            assertEquals(6, backend.memory().live(MemoryTag.CONTEXT));
        }
        assertEquals(0, backend.memory().live(MemoryTag.CONTEXT));
    }

    @Test
    void operandThatIsSharedOutlivesTheStep() {
        Tensor x = tensor(127, -2, 64);
        Operand kept;
        try (StepScope scope = backend.beginStep(CONTEXT);
                Quantized quantized = quantize(scope, int8(), x)) {
            kept = quantized.operand(Contraction.ROWS).share();
        }
        assertArrayEquals(new byte[] {127, -2, 64}, backend.readCodes(kept, 0));
        assertArrayEquals(new float[] {1}, backend.readScales(kept, 0));
        assertEquals(3, kept.rows());
        kept.close();
        assertThrows(IllegalStateException.class, () -> backend.readCodes(kept, 0));
        assertEquals(0, backend.memory().live(MemoryTag.SCRATCH));
    }

    @Test
    void wideCodesAreLittleEndianAndUntransposed() {
        Tensor x = backend.allocate("x", DType.FP32, Shape.of(2, 2), MemoryTag.PARAMETER);
        backend.write(x, new float[] {1, 2, 3, 4});
        StepScope scope = backend.beginStep(CONTEXT);
        Quantized bf16 = quantize(scope, QuantizeSpec.both(Role.INPUT, List.of(PlaneSpec.unscaled(DType.BF16))), x);
        Operand kept = bf16.operand(Contraction.ROWS).share();
        Quantized fp32 = quantize(scope, QuantizeSpec.both(Role.INPUT, List.of(PlaneSpec.unscaled(DType.FP32))), x);
        Operand wide = fp32.operand(Contraction.COLUMNS).share();
        bf16.close();
        fp32.close();
        scope.close();
        // 1, 3, 2, 4
        assertArrayEquals(
                new byte[] {(byte) 0x80, 0x3F, 0x40, 0x40, 0x00, 0x40, (byte) 0x80, 0x40}, backend.readCodes(kept, 0));
        assertEquals(16, backend.readCodes(wide, 0).length);
        assertEquals(0x3F, backend.readCodes(wide, 0)[3]);
        assertEquals(0, backend.readScales(kept, 0).length);
        kept.close();
        wide.close();
    }

    @Test
    void newMemoryIsZeroEvenIfItWasUsed() {
        for (DType dtype : new DType[] {DType.FP32, DType.INT32}) {
            Tensor first = backend.allocate("t", dtype, Shape.of(3), MemoryTag.SCRATCH);
            if (dtype == DType.FP32) {
                backend.write(first, new float[] {1, 2, 3});
            } else {
                backend.write(first, new int[] {1, 2, 3});
            }
            first.close();
        }
        assertArrayEquals(
                new float[3], backend.readFloats(backend.allocate("t", DType.FP32, Shape.of(3), MemoryTag.SCRATCH)));
        assertArrayEquals(
                new int[3], HostTensor.ints(backend.allocate("t", DType.INT32, Shape.of(3), MemoryTag.SCRATCH)));
    }

    @Test
    void stateStartsWithItsFirstValues() {
        StateVector history = new StateVector("history", List.of(1f, 2f));
        try (DeviceState state = backend.allocateState(List.of(history, StateVector.scalar("threshold", 3)))) {
            assertArrayEquals(new float[] {1, 2}, backend.readFloats(state.get("history")));
            assertArrayEquals(new float[] {3}, backend.readFloats(state.get("threshold")));
            assertEquals(12, backend.memory().live(MemoryTag.STATE));
            IllegalArgumentException e = assertThrows(IllegalArgumentException.class, () -> state.get("amax"));
            assertEquals("no state vector is named 'amax'; the layer has [history, threshold]", e.getMessage());
        }
        assertEquals(0, backend.memory().live(MemoryTag.STATE));
    }

    @Test
    void wrongLengthIsRejected() {
        Tensor x = tensor(1, 2);
        IllegalArgumentException e = assertThrows(IllegalArgumentException.class, () -> backend.write(x, new float[3]));
        assertEquals("x [1, 2] needs 2 values, but got 3", e.getMessage());
    }

    @Test
    void closedBackendRefusesWork() {
        Tensor x = tensor(1);
        backend.close();
        backend.close();
        assertThrows(IllegalStateException.class, () -> backend.beginStep(CONTEXT));
        assertThrows(IllegalStateException.class, () -> backend.readFloats(x));
        IllegalStateException e = assertThrows(IllegalStateException.class, () -> tensor(1));
        assertEquals("backend reference is used after it was closed", e.getMessage());
    }

    @Test
    void tensorsOfAnotherBackendAreRejected() {
        Tensor foreign = new Tensor() {
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
        };
        IllegalArgumentException e =
                assertThrows(IllegalArgumentException.class, () -> backend.write(foreign, new float[1]));
        assertEquals("foreign is a tensor of another backend", e.getMessage());
    }
}
