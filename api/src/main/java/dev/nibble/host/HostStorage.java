package dev.nibble.host;

import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;

/** One array and the count of its handles. */
final class HostStorage {
    final HostMemory memory;
    final Object array;
    final DType dtype;
    final int length;
    MemoryTag tag;
    private int handles = 1;

    HostStorage(HostMemory memory, Object array, DType dtype, int length, MemoryTag tag) {
        this.memory = memory;
        this.array = array;
        this.dtype = dtype;
        this.length = length;
        this.tag = tag;
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
