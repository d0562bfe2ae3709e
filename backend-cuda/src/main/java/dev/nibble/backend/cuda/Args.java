package dev.nibble.backend.cuda;

import dev.nibble.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * The arguments of one launch, in the order of the kernel's parameters. One object serves all launches of a runtime: the
 * driver copies the values before the launch returns.
 */
final class Args {
    /** The most parameters of a kernel. */
    static final int MOST = 64;

    /** The most bytes of all parameters together: what the driver takes. */
    static final long BYTES = 4096;

    /** Alignment of a tensor map, the strictest parameter. */
    static final long ALIGNMENT = 128;

    private final MemorySegment values = Arena.ofAuto().allocate(BYTES, ALIGNMENT);
    private final MemorySegment pointers = Arena.ofAuto().allocate(ValueLayout.ADDRESS, MOST); // [MOST], into values
    private final int[] offsets = new int[MOST]; // [count], into values
    private int count;
    private long used;
    private Object about = "";

    /** Forgets all arguments. */
    Args clear() {
        count = 0;
        used = 0;
        about = "";
        return this;
    }

    /** Adds a device address; 0 is a null pointer. */
    Args pointer(long address) {
        values.set(ValueLayout.JAVA_LONG, next(Long.BYTES, Long.BYTES), address);
        return this;
    }

    /** Adds the address of an FP32 tensor. */
    Args floats(Tensor tensor) {
        return pointer(CudaTensor.floats(tensor));
    }

    /** Adds the address of an INT32 tensor. */
    Args ints(Tensor tensor) {
        return pointer(CudaTensor.ints(tensor));
    }

    /** Adds a 32-bit integer. */
    Args i32(int value) {
        values.set(ValueLayout.JAVA_INT, next(Integer.BYTES, Integer.BYTES), value);
        return this;
    }

    /** Adds a 64-bit integer. */
    Args i64(long value) {
        values.set(ValueLayout.JAVA_LONG, next(Long.BYTES, Long.BYTES), value);
        return this;
    }

    /** Adds a float. */
    Args f32(float value) {
        values.set(ValueLayout.JAVA_FLOAT, next(Float.BYTES, Float.BYTES), value);
        return this;
    }

    /** Adds a structure, copied now. */
    Args struct(MemorySegment structure) {
        MemorySegment.copy(structure, 0, values, next(structure.byteSize(), ALIGNMENT), structure.byteSize());
        return this;
    }

    /** Says what the launch works on, such as a tensor; its text is used if the launch fails. */
    Args about(Object what) {
        about = what;
        return this;
    }

    private long next(long bytes, long alignment) {
        long at = Math.ceilDiv(used, alignment) * alignment;
        if (count == MOST || at + bytes > BYTES) {
            throw new IllegalStateException("a kernel takes at most " + MOST + " arguments of " + BYTES
                    + " bytes together, but got " + (count + 1) + " of " + (at + bytes));
        }
        if (at > used) {
            values.asSlice(used, at - used).fill((byte) 0); // equal arguments have equal bytes, gaps included
        }
        pointers.setAtIndex(ValueLayout.ADDRESS, count, values.asSlice(at, bytes));
        offsets[count++] = (int) at;
        used = at + bytes;
        return at;
    }

    /** {@return the array of pointers to the values} */
    MemorySegment pointers() {
        return pointers;
    }

    /** {@return number of arguments} */
    int count() {
        return count;
    }

    /** {@return the bytes of all values, gaps included, up to {@link #used}} */
    MemorySegment values() {
        return values;
    }

    /** {@return bytes of the values} */
    long used() {
        return used;
    }

    /** {@return where a value lies among the bytes} */
    int offset(int index) {
        return offsets[index];
    }

    /** {@return what the launch works on} */
    Object what() {
        return about;
    }

    /** {@return the bytes of an argument from its first on: for tests} */
    MemorySegment value(int index) {
        return values.asSlice(offsets[index]);
    }

    @Override
    public String toString() {
        return String.valueOf(about);
    }
}
