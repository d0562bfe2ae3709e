package dev.nibble.backend.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.nibble.host.HostMemory;
import dev.nibble.tensor.MemoryTag;
import org.junit.jupiter.api.Test;

class ThreadScratchTests {
    @Test
    void twoTasksAtATimeGetTwoArrays() {
        HostMemory memory = new HostMemory();
        try (ThreadScratch scratch = new ThreadScratch(memory, 2, 13)) {
            assertEquals(2 * 13 * 4L, memory.use().live().get(MemoryTag.SCRATCH));
            scratch.lend(a -> scratch.lend(b -> assertNotSame(a, b)));
        }
        assertEquals(0, memory.openTensors());
    }

    @Test
    void arrayOfAFailedTaskIsLentAgain() {
        try (ThreadScratch scratch = new ThreadScratch(new HostMemory(), 1, 13)) {
            assertThrows(
                    IllegalStateException.class,
                    () -> scratch.lend(a -> {
                        throw new IllegalStateException("a task failed");
                    }));
            scratch.lend(a -> assertEquals(13, a.length));
        }
    }
}
