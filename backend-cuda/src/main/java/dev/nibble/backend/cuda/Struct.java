package dev.nibble.backend.cuda;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** A structure that a kernel takes by value, written field by field in the order of its declaration, aligned as in C. */
final class Struct {
    private static final long BYTES = 2048;

    private final MemorySegment memory = Arena.ofAuto().allocate(BYTES, Long.BYTES);
    private long used;

    /** Forgets all fields. */
    Struct clear() {
        used = 0;
        return this;
    }

    /** Adds a device address; 0 is a null pointer. */
    Struct pointer(long address) {
        return i64(address);
    }

    /** Adds a 64-bit integer. */
    Struct i64(long value) {
        memory.set(ValueLayout.JAVA_LONG, next(Long.BYTES), value);
        return this;
    }

    /** Adds a 32-bit integer. */
    Struct i32(int value) {
        memory.set(ValueLayout.JAVA_INT, next(Integer.BYTES), value);
        return this;
    }

    /** Adds 1 or 0, 32 bits. */
    Struct flag(boolean value) {
        return i32(value ? 1 : 0);
    }

    /** Adds a float. */
    Struct f32(float value) {
        memory.set(ValueLayout.JAVA_FLOAT, next(Float.BYTES), value);
        return this;
    }

    /** {@return the fields, in whole multiples of 8 bytes} */
    MemorySegment segment() {
        return memory.asSlice(0, Math.ceilDiv(used, Long.BYTES) * Long.BYTES);
    }

    private long next(long bytes) {
        long at = Math.ceilDiv(used, bytes) * bytes;
        used = at + bytes;
        return at;
    }
}
