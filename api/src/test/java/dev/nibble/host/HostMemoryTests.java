package dev.nibble.host;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import org.junit.jupiter.api.Test;

class HostMemoryTests {
    private final HostMemory memory = new HostMemory();

    private HostTensor allocate(DType dtype, long... dims) {
        return memory.allocate("t", dtype, Shape.of(dims), MemoryTag.SCRATCH);
    }

    @Test
    void useAfterCloseIsALifeCycleError() {
        HostTensor floats = allocate(DType.FP32, 3);
        HostTensor bytes = allocate(DType.INT8, 3);
        floats.close();
        bytes.close();
        IllegalStateException e = assertThrows(IllegalStateException.class, () -> HostTensor.floats(floats));
        assertEquals("t is used after it was closed", e.getMessage());
        assertThrows(IllegalStateException.class, bytes::bytes);
        assertThrows(IllegalStateException.class, floats::share);
        assertThrows(IllegalStateException.class, () -> floats.retag(MemoryTag.CONTEXT));
        assertFalse(floats.isOpen());
    }

    @Test
    void closingTwiceReleasesOneHandle() {
        HostTensor first = allocate(DType.FP32, 3);
        HostTensor second = first.share();
        first.close();
        first.close();
        assertEquals(1, memory.openTensors());
        HostTensor.floats(second)[0] = 1;
        second.close();
        second.close();
        assertEquals(0, memory.openTensors());
        assertEquals(0, memory.use().live(MemoryTag.SCRATCH));
    }

    @Test
    void handlesShareOneArray() {
        HostTensor first = allocate(DType.FP32, 2, 2);
        HostTensor second = first.share();
        HostTensor.floats(first)[3] = 5;
        assertEquals(5f, HostTensor.floats(second)[3]);
        assertEquals(1, memory.openTensors());
        assertEquals(16, memory.use().live(MemoryTag.SCRATCH));
        second.close();
        assertTrue(first.isOpen());
        first.close();
    }

    @Test
    void bytesAreCountedByTypeAndTag() {
        HostTensor a = allocate(DType.FP32, 3);
        HostTensor b = memory.allocate("b", DType.BF16, Shape.of(5), MemoryTag.PARAMETER);
        HostTensor c = memory.allocate("c", DType.E4M3, Shape.of(7), MemoryTag.CONTEXT);
        assertEquals(12, memory.use().live(MemoryTag.SCRATCH));
        assertEquals(10, memory.use().live(MemoryTag.PARAMETER));
        assertEquals(7, memory.use().live(MemoryTag.CONTEXT));
        assertEquals(0, memory.use().live(MemoryTag.OPTIMIZER));
        a.close();
        HostTensor d = allocate(DType.INT32, 2);
        assertEquals(29, memory.use().peakBytes());
        b.close();
        c.close();
        d.close();
        assertEquals(29, memory.use().peakBytes());
        assertEquals(37, memory.use().heldBytes(), "with the array of a, which waited");
        assertEquals(0, memory.openTensors());
    }

    @Test
    void retagMovesTheBytesOfAllHandlesOnce() {
        HostTensor first = allocate(DType.FP32, 4);
        HostTensor second = first.share();
        first.retag(MemoryTag.CONTEXT);
        second.retag(MemoryTag.CONTEXT);
        assertEquals(0, memory.use().live(MemoryTag.SCRATCH));
        assertEquals(16, memory.use().live(MemoryTag.CONTEXT));
        assertEquals(MemoryTag.CONTEXT, second.tag());
        assertEquals(16, memory.use().peakBytes());
        first.close();
        assertEquals(16, memory.use().live(MemoryTag.CONTEXT));
        second.close();
        assertEquals(0, memory.use().live(MemoryTag.CONTEXT));
    }

    @Test
    void leakShowsInTheCount() {
        for (int i = 0; i < 3; i++) {
            allocate(DType.INT8, 1);
        }
        assertEquals(3, memory.openTensors());
    }

    @Test
    void freedArraysAreUsedAgainUntilTrimmed() {
        HostTensor first = allocate(DType.FP32, 6);
        float[] array = HostTensor.floats(first);
        first.close();
        HostTensor other = allocate(DType.FP32, 7);
        assertNotSame(array, HostTensor.floats(other));
        HostTensor second = allocate(DType.FP32, 2, 3);
        assertSame(array, HostTensor.floats(second));
        second.close();
        memory.trim();
        HostTensor third = allocate(DType.FP32, 6);
        assertNotSame(array, HostTensor.floats(third));
        other.close();
        third.close();
    }

    @Test
    void wrongTypeIsNamed() {
        HostTensor tensor = allocate(DType.INT8, 2);
        IllegalArgumentException e = assertThrows(IllegalArgumentException.class, () -> HostTensor.floats(tensor));
        assertEquals("t is int8, but fp32 is needed", e.getMessage());
        e = assertThrows(IllegalArgumentException.class, tensor::shorts);
        assertEquals("t is int8, but a two-byte type is needed", e.getMessage());
        assertThrows(IllegalArgumentException.class, () -> HostTensor.ints(tensor));
        HostTensor wide = allocate(DType.INT32, 2);
        assertThrows(IllegalArgumentException.class, wide::bytes);
        assertThrows(IllegalArgumentException.class, () -> HostTensor.floats(wide));
    }

    @Test
    void tensorBeyondAnArrayIsRejected() {
        IllegalArgumentException e =
                assertThrows(IllegalArgumentException.class, () -> allocate(DType.INT8, 1L << 16, 1L << 16));
        assertTrue(e.getMessage().startsWith("t [65536, 65536] has 4294967296 elements, but"), e.getMessage());
        assertEquals(0, memory.openTensors());
    }

    @Test
    void sizesThatNeverComeBackDoNotPileUp() {
        HostTensor steady = allocate(DType.FP32, 20);
        float[] array = HostTensor.floats(steady); // [20]
        steady.close();
        for (int length = 1; length < 20; length++) {
            allocate(DType.FP32, length).close();
            assertTrue(memory.spareBytes() <= 2 * memory.use().peakBytes(), "after length " + length);
            HostTensor again = allocate(DType.FP32, 20);
            assertSame(array, HostTensor.floats(again), "a size in use stays, after length " + length);
            again.close();
        }
        memory.trim();
        assertEquals(0, memory.spareBytes());
    }

    @Test
    void zerosAreWrittenWhenTheArrayIsAskedFor() {
        HostTensor tensor = allocate(DType.FP32, 3);
        HostTensor other = tensor.share();
        HostTensor.floats(tensor)[1] = 5;
        tensor.zeroLater();
        assertArrayEquals(new float[3], HostTensor.floats(other));
        HostTensor.floats(other)[1] = 5;
        assertArrayEquals(new float[] {0, 5, 0}, HostTensor.floats(tensor));
    }

    @Test
    void whoTakesTheZerosWritesAllElements() {
        HostTensor tensor = allocate(DType.FP32, 3);
        HostTensor other = tensor.share();
        assertTrue(tensor.takeZeros().isEmpty());
        tensor.zeroLater();
        assertTrue(other.takeZeros().isPresent());
        HostTensor.floats(tensor)[2] = 7;
        assertTrue(tensor.takeZeros().isEmpty());
        assertEquals(7, HostTensor.floats(other)[2]);
        tensor.close();
        assertThrows(IllegalStateException.class, tensor::zeroLater);
        HostTensor bytes = allocate(DType.INT8, 3);
        assertEquals(
                "t is int8, but fp32 is needed",
                assertThrows(IllegalArgumentException.class, bytes::zeroLater).getMessage());
    }
}
