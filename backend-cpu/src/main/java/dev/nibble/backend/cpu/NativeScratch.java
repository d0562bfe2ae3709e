package dev.nibble.backend.cpu;

import dev.nibble.host.HostMemory;
import dev.nibble.tensor.MemoryTag;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/** Memory outside the heap, which begins on a cache line and does not move; kept from one product to the next. */
final class NativeScratch implements AutoCloseable {
    private final HostMemory memory;
    private final NativeKernels kernels;
    private Arena arena = Arena.ofShared();
    private MemorySegment all = MemorySegment.NULL;
    private long lent;

    NativeScratch(HostMemory memory, NativeKernels kernels) {
        this.memory = memory;
        this.kernels = kernels;
    }

    /** {@return memory whose contents are undefined, until {@link #giveBack}} */
    MemorySegment lend(long bytes) {
        if (bytes > all.byteSize()) {
            arena.close();
            arena = Arena.ofShared();
            all = kernels.allocate(arena, bytes);
        }
        lent = bytes;
        memory.countOutside(MemoryTag.SCRATCH, lent);
        return all;
    }

    void giveBack() {
        memory.countOutside(MemoryTag.SCRATCH, -lent);
        lent = 0;
    }

    @Override
    public void close() {
        arena.close();
        arena = Arena.ofShared();
        all = MemorySegment.NULL;
    }
}
