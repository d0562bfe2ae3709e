package dev.nibble.backend.cpu;

import dev.nibble.host.HostMemory;
import dev.nibble.host.HostTensor;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.function.Consumer;

/** As many scratch arrays as tasks can run at once, counted by the allocator and lent to one task at a time. */
final class ThreadScratch implements AutoCloseable {
    private final List<HostTensor> tensors = new ArrayList<>();
    private final Queue<float[]> free = new ConcurrentLinkedQueue<>();

    /**
     * Allocates the arrays; their contents are undefined.
     *
     * @param threads number of arrays
     * @param length elements of each
     */
    ThreadScratch(HostMemory memory, int threads, long length) {
        for (int i = 0; i < threads; i++) {
            HostTensor tensor = memory.allocate("scratch", DType.FP32, Shape.of(length), MemoryTag.SCRATCH);
            tensors.add(tensor);
            free.add(HostTensor.floats(tensor));
        }
    }

    /** Runs a task with an array of its own. */
    void lend(Consumer<float[]> task) {
        float[] array = free.remove();
        try {
            task.accept(array);
        } finally {
            free.add(array);
        }
    }

    @Override
    public void close() {
        tensors.forEach(HostTensor::close);
    }
}
