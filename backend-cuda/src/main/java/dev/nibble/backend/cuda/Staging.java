package dev.nibble.backend.cuda;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import jcuda.Pointer;
import jcuda.driver.CUevent;
import jcuda.driver.CUevent_flags;
import jcuda.driver.JCudaDriver;

/**
 * Copies between Java arrays and the device through host memory that the device reaches by itself. Two halves take turns: one is
 * filled while the other is copied, and a half is filled again when its copy has ended.
 */
final class Staging implements AutoCloseable {
    private static final int HALVES = 2;
    private static final long HALF_BYTES = 8L << 20;

    private static final class Event extends CUevent {
        long raw() {
            return getNativePointer();
        }
    }

    private final CudaStream stream;
    private final Driver driver;
    private final Pointer pinned = new Pointer();
    private final MemorySegment memory; // [HALVES · HALF_BYTES]
    private final Event[] copied = new Event[HALVES]; // recorded behind the copies from each half
    private int half;
    private long used; // bytes of the current half

    Staging(CudaStream stream) {
        this.stream = stream;
        this.driver = stream.device().driver();
        long bytes = HALVES * HALF_BYTES;
        stream.check(JCudaDriver.cuMemHostAlloc(pinned, bytes, 0), () -> "cuMemHostAlloc(" + bytes + ")");
        memory = MemorySegment.ofBuffer(pinned.getByteBuffer(0, bytes));
        for (int i = 0; i < HALVES; i++) {
            copied[i] = new Event();
            Event event = copied[i];
            stream.check(
                    JCudaDriver.cuEventCreate(event, CUevent_flags.CU_EVENT_DISABLE_TIMING), () -> "cuEventCreate");
        }
    }

    /** Enqueues a copy of floats to the device; the array may change afterwards. */
    void write(long address, float[] values, int from, int count) {
        write(address, MemorySegment.ofArray(values), Float.BYTES * (long) from, Float.BYTES * (long) count);
    }

    /** Enqueues a copy of integers to the device; the array may change afterwards. */
    void write(long address, int[] values, int from, int count) {
        write(address, MemorySegment.ofArray(values), Integer.BYTES * (long) from, Integer.BYTES * (long) count);
    }

    private void write(long address, MemorySegment source, long from, long bytes) {
        stream.bind();
        for (long done = 0; done < bytes; ) {
            if (used == HALF_BYTES) {
                turn();
            }
            long part = Math.min(bytes - done, HALF_BYTES - used);
            MemorySegment piece = memory.asSlice(half * HALF_BYTES + used, part);
            MemorySegment.copy(source, from + done, piece, 0, part);
            stream.copyToDevice(address + done, piece);
            used += part;
            done += part;
        }
    }

    /** Goes on to the other half, when the copies from there have ended. */
    private void turn() {
        stream.record(copied[half].raw());
        half = (half + 1) % HALVES;
        used = 0;
        stream.check(driver.waitForEvent(copied[half].raw()), () -> "wait for a copy to the device");
    }

    /** Waits for the device, and copies floats from it. */
    void read(long address, float[] values, int from, int count) {
        read(address, MemorySegment.ofArray(values), Float.BYTES * (long) from, Float.BYTES * (long) count);
    }

    /** Waits for the device, and copies integers from it. */
    void read(long address, int[] values, int from, int count) {
        read(address, MemorySegment.ofArray(values), Integer.BYTES * (long) from, Integer.BYTES * (long) count);
    }

    /** Waits for the device, and copies bytes from it. */
    void read(long address, byte[] values, int from, int count) {
        read(address, MemorySegment.ofArray(values), from, count);
    }

    private void read(long address, MemorySegment target, long from, long bytes) {
        stream.synchronize("wait before a copy to the host");
        for (long done = 0; done < bytes; ) {
            long part = Math.min(bytes - done, HALF_BYTES);
            MemorySegment piece = memory.asSlice(half * HALF_BYTES, part); // nothing is in flight
            stream.copyToHost(piece, address + done);
            MemorySegment.copy(piece, ValueLayout.JAVA_BYTE, 0, target, ValueLayout.JAVA_BYTE, from + done, part);
            done += part;
        }
        used = 0;
    }

    @Override
    public void close() {
        stream.bind();
        for (Event event : copied) {
            stream.check(JCudaDriver.cuEventDestroy(event), () -> "cuEventDestroy");
        }
        stream.check(JCudaDriver.cuMemFreeHost(pinned), () -> "cuMemFreeHost");
    }
}
