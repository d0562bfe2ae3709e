package dev.nibble.host;

import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import java.util.Arrays;

/** One array and the count of its handles. */
final class HostStorage {
    final HostMemory memory;
    final Object array;
    final DType dtype;
    final int length;
    MemoryTag tag;
    private volatile boolean zeros; // whether the elements count as 0, whatever the array holds
    private int handles = 1;

    HostStorage(HostMemory memory, Object array, DType dtype, int length, MemoryTag tag) {
        this.memory = memory;
        this.array = array;
        this.dtype = dtype;
        this.length = length;
        this.tag = tag;
    }

    void zeroLater() {
        zeros = true;
    }

    /** {@return whether the elements count as 0; from now on, what the array holds counts} */
    boolean takeZeros() {
        boolean taken = zeros;
        zeros = false;
        return taken;
    }

    /** {@return the array with what the elements are} */
    Object settled() {
        if (zeros) {
            settle();
        }
        return array;
    }

    private synchronized void settle() { // tasks of one operation may ask at the same time
        if (zeros) {
            Arrays.fill((float[]) array, 0f);
            zeros = false;
        }
    }

    long byteSize() {
        return bytes(dtype, length);
    }

    /** {@return bytes of an array; one of a packed format counts bytes, not elements} */
    static long bytes(DType dtype, int length) {
        return dtype.packed() ? length : (long) length * (dtype.bits() / 8);
    }

    void retain() {
        handles++;
    }

    void release() {
        handles--;
        if (handles == 0) {
            memory.free(this);
        }
    }
}
