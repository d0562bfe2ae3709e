package dev.nibble.backend.cuda;

import dev.nibble.error.NibbleException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** Bytes behind each tensor that nobody may write, checked when it is freed. For tests: each check waits for the device. */
final class Canaries {
    private static final byte VALUE = (byte) 0xA5;

    private final CudaStream stream;
    private final boolean on;

    Canaries(CudaStream stream, boolean on) {
        this.stream = stream;
        this.on = on;
    }

    /** {@return bytes behind each tensor} */
    long bytes() {
        return on ? DeviceArena.UNIT : 0;
    }

    /** Writes the bytes. */
    void plant(long address) {
        if (on) {
            stream.fill(address, VALUE, bytes());
        }
    }

    /**
     * Checks the bytes.
     *
     * @throws NibbleException if a kernel wrote behind its tensor
     */
    void check(long address) {
        if (!on) {
            return;
        }
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment found = arena.allocate(bytes());
            stream.copyToHost(found, address);
            for (byte value : found.toArray(ValueLayout.JAVA_BYTE)) {
                if (value != VALUE) {
                    throw new NibbleException(
                            "a kernel wrote behind its tensor, before address 0x%x".formatted(address));
                }
            }
        }
    }
}
