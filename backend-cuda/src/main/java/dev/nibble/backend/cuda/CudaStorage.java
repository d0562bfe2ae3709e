package dev.nibble.backend.cuda;

import dev.nibble.tensor.MemoryTag;
import java.util.Optional;

/** One piece of device memory and the count of its handles. */
final class CudaStorage {
    final CudaMemory memory;
    final long address;
    final long bytes; // a multiple of 256
    final boolean passing; // whether it lies among what lives for a step, whatever it is counted as later
    final boolean counted; // whether a tensor of the caller's: what the backend needs itself is not
    MemoryTag tag;
    int smallest; // of the integers that the host wrote last, and where it stands; new memory is zero
    int smallestAt;
    int largest;
    int largestAt;
    Optional<Float> scalar = Optional.empty(); // the only element, if the host wrote it last
    private int handles = 1;

    CudaStorage(CudaMemory memory, long address, long bytes, MemoryTag tag, boolean passing, boolean counted) {
        this.memory = memory;
        this.address = address;
        this.bytes = bytes;
        this.tag = tag;
        this.passing = passing;
        this.counted = counted;
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
