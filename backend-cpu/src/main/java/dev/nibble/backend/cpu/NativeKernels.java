package dev.nibble.backend.cpu;

import dev.nibble.error.NibbleException;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.util.Arrays;

/**
 * The functions of the native library at one level of the processor. Arrays are handed over as they are: while a call
 * runs, no garbage collection can begin, so a call must be short.
 */
final class NativeKernels {
    /** Of the library; another one has other functions. */
    static final long VERSION = 6;

    /** Rows of a panel. */
    static final int PANEL = 32;

    /** Codes that a stretch of the contraction is padded to a multiple of. */
    static final int GROUP = 64;

    /** What the processor must have; the best comes last. */
    enum Level {
        /** Sums of pairs of products of bytes. */
        AVX2(1, "avx2"),
        /** Sums of four products of bytes, 512 bits wide. */
        VNNI(2, "avx512-vnni"),
        /** Products of tiles. */
        AMX(4, "amx-int8");

        final long bit;
        final String label;

        Level(long bit, String label) {
            this.bit = bit;
            this.label = label;
        }
    }

    private final Functions functions;
    private final Level level;

    private record Functions(
            MethodHandle version,
            MethodHandle levels,
            MethodHandle allocate,
            MethodHandle free,
            MethodHandle pack,
            MethodHandle multiply,
            MethodHandle multiplyOnce,
            MethodHandle measure,
            MethodHandle quantize,
            MethodHandle residual,
            NativeNeural neural) {}

    private NativeKernels(Functions functions, Level level) {
        this.functions = functions;
        this.level = level;
    }

    /** Binds the functions, at no level yet. */
    @SuppressWarnings("restricted") // the module has native access, or this is not called
    static NativeKernels bind(SymbolLookup library) {
        var functions = new Functions(
                bind(library, "nibble_version", FunctionDescriptor.of(ValueLayout.JAVA_LONG)),
                bind(library, "nibble_levels", FunctionDescriptor.of(ValueLayout.JAVA_LONG)),
                bind(library, "nibble_allocate", FunctionDescriptor.of(ValueLayout.ADDRESS, ValueLayout.JAVA_LONG)),
                bind(library, "nibble_free", pointers(1)),
                bind(library, "nibble_pack", pointers(5)),
                bind(library, "nibble_multiply", pointers(13)),
                bind(library, "nibble_multiply_once", pointers(11)),
                bind(library, "nibble_measure", pointers(3)),
                bind(library, "nibble_quantize", pointers(5)),
                bind(library, "nibble_residual", pointers(4)),
                new NativeNeural(library));
        return new NativeKernels(functions, Level.AVX2);
    }

    static FunctionDescriptor pointers(int count) {
        ValueLayout[] arguments = new ValueLayout[count];
        Arrays.fill(arguments, ValueLayout.ADDRESS);
        return FunctionDescriptor.ofVoid(arguments);
    }

    @SuppressWarnings("restricted")
    static MethodHandle bind(SymbolLookup library, String name, FunctionDescriptor type) {
        return Linker.nativeLinker().downcallHandle(library.findOrThrow(name), type, Linker.Option.critical(true));
    }

    NativeKernels at(Level other) {
        return new NativeKernels(functions, other);
    }

    Level level() {
        return level;
    }

    /** {@return the operations between the products; at a level with AVX-512 only} */
    NativeNeural neural() {
        return functions.neural;
    }

    long version() {
        try {
            return (long) functions.version.invokeExact();
        } catch (Throwable e) {
            throw impossible(e);
        }
    }

    /** {@return the bits of the levels that this machine has} */
    long levels() {
        try {
            return (long) functions.levels.invokeExact();
        } catch (Throwable e) {
            throw impossible(e);
        }
    }

    /**
     * Packs panels of one plane.
     *
     * @param call {@code PackCall} of gemm.h after the level
     * @param blocks {@code PackBlock} of gemm.h, [blocks][4]
     * @param codes the array of a plane
     * @param states of the plane's panels, [segments][panels]; not read where all are present
     * @param out the packed side
     */
    void pack(long[] call, long[] blocks, MemorySegment codes, byte[] states, MemorySegment out) {
        call[0] = level.bit;
        try {
            functions.pack.invokeExact(
                    MemorySegment.ofArray(call),
                    MemorySegment.ofArray(blocks),
                    codes,
                    MemorySegment.ofArray(states),
                    out);
        } catch (Throwable e) {
            throw impossible(e);
        }
    }

    /**
     * One packed side of a product.
     *
     * @param panels codes
     * @param grid scales [plane][segment][padded rows], then presence in the same order
     * @param states [plane][segment][panels]
     */
    record Side(MemorySegment panels, float[] grid, byte[] states) {}

    /**
     * Working memory of a thread, as {@code Memory} of gemm.h has it.
     *
     * @param acc sums, [tiles]
     * @param total sums of the parts before, [tiles]
     * @param whole exact sums, [tiles]
     */
    record Work(MemorySegment acc, MemorySegment total, MemorySegment whole) {}

    /**
     * Multiplies panels.
     *
     * @param call {@code MultiplyCall} of gemm.h after the level
     * @param groups {@code Group} of gemm.h, [groups][4]
     * @param steps {@code Step} of gemm.h, [steps][11]
     */
    void multiply(long[] call, Side a, Side b, long[] groups, long[] steps, Work work, float[] d) {
        call[0] = level.bit;
        try {
            functions.multiply.invokeExact(
                    MemorySegment.ofArray(call),
                    a.panels,
                    MemorySegment.ofArray(a.grid),
                    MemorySegment.ofArray(a.states),
                    b.panels,
                    MemorySegment.ofArray(b.grid),
                    MemorySegment.ofArray(b.states),
                    MemorySegment.ofArray(groups),
                    MemorySegment.ofArray(steps),
                    work.acc,
                    work.total,
                    work.whole,
                    MemorySegment.ofArray(d));
        } catch (Throwable e) {
            throw impossible(e);
        }
    }

    /** {@return whether the library measures and rounds at this level} */
    boolean quantizes() {
        return level != Level.AVX2;
    }

    /**
     * Measures the blocks of an area.
     *
     * @param call {@code QuantizeCall} of quantize.h
     * @param x [rows, cols]
     * @param amaxes receives max|x| of each block
     */
    void measure(long[] call, float[] x, float[] amaxes) {
        try {
            functions.measure.invokeExact(
                    MemorySegment.ofArray(call), MemorySegment.ofArray(x), MemorySegment.ofArray(amaxes));
        } catch (Throwable e) {
            throw impossible(e);
        }
    }

    /**
     * Rounds an area.
     *
     * @param call {@code QuantizeCall} of quantize.h; receives the number of elements beyond the range
     * @param x [rows, cols]
     * @param multipliers of the blocks
     * @param codes receives the codes, or the upper digits
     * @param lower receives the lower digits
     */
    void quantize(long[] call, float[] x, float[] multipliers, byte[] codes, byte[] lower) {
        try {
            functions.quantize.invokeExact(
                    MemorySegment.ofArray(call),
                    MemorySegment.ofArray(x),
                    MemorySegment.ofArray(multipliers),
                    MemorySegment.ofArray(codes),
                    MemorySegment.ofArray(lower));
        } catch (Throwable e) {
            throw impossible(e);
        }
    }

    /**
     * Writes what the first plane of a block leaves over.
     *
     * @param call {@code ResidualCall} of quantize.h; receives the bits of the largest magnitude
     * @param x [rows, cols]
     * @param codes of the first plane
     * @param d receives the rest, [rows of the block, columns of the block]
     */
    void residual(long[] call, float[] x, byte[] codes, float[] d) {
        try {
            functions.residual.invokeExact(
                    MemorySegment.ofArray(call),
                    MemorySegment.ofArray(x),
                    MemorySegment.ofArray(codes),
                    MemorySegment.ofArray(d));
        } catch (Throwable e) {
            throw impossible(e);
        }
    }

    /**
     * Packs panels of B and multiplies them by all panels of A, floats alone.
     *
     * @param call {@code MultiplyCall} of gemm.h after the level
     * @param packB what is packed of B
     * @param groups {@code Group} of gemm.h, [groups][4]
     * @param steps {@code Step} of gemm.h, [steps][11]
     * @param panelsB room for a group of an area
     */
    void multiplyOnce(
            long[] call,
            MemorySegment panelsA,
            NativeSide.Packing packB,
            long[] groups,
            long[] steps,
            MemorySegment panelsB,
            Work work,
            float[] d) {
        call[0] = level.bit;
        try {
            functions.multiplyOnce.invokeExact(
                    MemorySegment.ofArray(call),
                    MemorySegment.ofArray(packB.call()),
                    MemorySegment.ofArray(packB.blocks()),
                    packB.codes(),
                    panelsA,
                    MemorySegment.ofArray(groups),
                    MemorySegment.ofArray(steps),
                    panelsB,
                    work.acc,
                    work.total,
                    MemorySegment.ofArray(d));
        } catch (Throwable e) {
            throw impossible(e);
        }
    }

    static IllegalStateException impossible(Throwable e) {
        return new IllegalStateException("a native function threw", e);
    }

    /**
     * {@return memory that vectors can begin at, on large pages if the system has some; freed with the arena}
     *
     * @throws NibbleException if there is not enough
     */
    @SuppressWarnings("restricted")
    MemorySegment allocate(Arena arena, long bytes) {
        MemorySegment memory;
        try {
            memory = (MemorySegment) functions.allocate.invokeExact(bytes);
        } catch (Throwable e) {
            throw impossible(e);
        }
        if (memory.address() == 0) {
            throw new NibbleException("a product needs " + bytes
                    + " bytes outside the Java heap, but the system has none left; lower the batch");
        }
        return memory.reinterpret(bytes, arena, this::free);
    }

    private void free(MemorySegment memory) {
        try {
            functions.free.invokeExact(memory);
        } catch (Throwable e) {
            throw impossible(e);
        }
    }
}
