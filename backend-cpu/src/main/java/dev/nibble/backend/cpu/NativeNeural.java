package dev.nibble.backend.cpu;

import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;

/**
 * The native library's operations between the products: AVX-512 only, and with the bits of the portable path. As with {@link
 * NativeKernels}, a call must be short.
 */
final class NativeNeural {
    /** Queries that a call of attention computes; {@code QUERIES} of neural.h. */
    static final int QUERIES = 64;

    private static final int LARGEST_TASK = 1 << 18; // elements: 1 MiB

    private final MethodHandle attentionBytes;
    private final MethodHandle attention;
    private final MethodHandle attentionBackward;
    private final MethodHandle swiGlu;
    private final MethodHandle swiGluBackward;
    private final MethodHandle squares;
    private final MethodHandle largest;
    private final MethodHandle groupSizes;
    private final MethodHandle encode10;
    private final MethodHandle encodeBf16;
    private final MethodHandle decode10;
    private final MethodHandle decodeBf16;

    /** Binds the functions. */
    NativeNeural(SymbolLookup library) {
        var address = ValueLayout.ADDRESS;
        var number = ValueLayout.JAVA_LONG;
        attentionBytes =
                NativeKernels.bind(library, "nibble_attention_bytes", FunctionDescriptor.of(number, number, number));
        attention = NativeKernels.bind(library, "nibble_attention", NativeKernels.pointers(5));
        attentionBackward = NativeKernels.bind(library, "nibble_attention_backward", NativeKernels.pointers(7));
        swiGlu = NativeKernels.bind(
                library, "nibble_swiglu", FunctionDescriptor.ofVoid(address, number, number, number, address));
        swiGluBackward = NativeKernels.bind(
                library,
                "nibble_swiglu_backward",
                FunctionDescriptor.ofVoid(address, address, number, number, number, address));
        squares = NativeKernels.bind(
                library, "nibble_squares", FunctionDescriptor.of(ValueLayout.JAVA_DOUBLE, address, number, number));
        largest = NativeKernels.bind(
                library, "nibble_largest", FunctionDescriptor.of(ValueLayout.JAVA_FLOAT, address, number, number));
        groupSizes = NativeKernels.bind(
                library, "nibble_group_sizes", FunctionDescriptor.ofVoid(address, number, number, address));
        encode10 = NativeKernels.bind(
                library, "nibble_encode_10", FunctionDescriptor.ofVoid(address, address, number, number, address));
        encodeBf16 = NativeKernels.bind(
                library, "nibble_encode_bf16", FunctionDescriptor.ofVoid(address, number, number, address));
        decode10 = NativeKernels.bind(
                library, "nibble_decode_10", FunctionDescriptor.ofVoid(address, address, number, number, address));
        decodeBf16 = NativeKernels.bind(
                library, "nibble_decode_bf16", FunctionDescriptor.ofVoid(address, number, number, address));
    }

    /** {@return bytes of the working memory of a head} */
    long attentionBytes(int sequence, int size) {
        try {
            return (long) attentionBytes.invokeExact((long) sequence, (long) size);
        } catch (Throwable e) {
            throw NativeKernels.impossible(e);
        }
    }

    /**
     * Computes some queries of a head.
     *
     * @param call {@code AttentionCall} of neural.h
     * @param logs receives the largest score of each query
     * @param memory of the head; begins with the sums of the exponentials afterwards, [64]
     */
    void attention(long[] call, float[] qkv, float[] out, float[] logs, MemorySegment memory) {
        try {
            attention.invokeExact(
                    MemorySegment.ofArray(call),
                    MemorySegment.ofArray(qkv),
                    MemorySegment.ofArray(out),
                    MemorySegment.ofArray(logs),
                    memory);
        } catch (Throwable e) {
            throw NativeKernels.impossible(e);
        }
    }

    /**
     * Computes gradients of some queries of a head, and with the last ones those of its keys and values.
     *
     * @param call {@code AttentionCall} of neural.h
     */
    void attentionBackward(
            long[] call,
            float[] gradOutput,
            float[] qkv,
            float[] out,
            float[] logs,
            float[] gradQkv,
            MemorySegment memory) {
        try {
            attentionBackward.invokeExact(
                    MemorySegment.ofArray(call),
                    MemorySegment.ofArray(gradOutput),
                    MemorySegment.ofArray(qkv),
                    MemorySegment.ofArray(out),
                    MemorySegment.ofArray(logs),
                    MemorySegment.ofArray(gradQkv),
                    memory);
        } catch (Throwable e) {
            throw NativeKernels.impossible(e);
        }
    }

    /** {@link SwiGluLanes#forward}. */
    void swiGlu(float[] gateUp, int hidden, int from, int to, float[] h) {
        try {
            swiGlu.invokeExact(
                    MemorySegment.ofArray(gateUp), (long) hidden, (long) from, (long) to, MemorySegment.ofArray(h));
        } catch (Throwable e) {
            throw NativeKernels.impossible(e);
        }
    }

    /** {@link SwiGluLanes#backward}. */
    void swiGluBackward(float[] gradOutput, float[] gateUp, int hidden, int from, int to, float[] gradGateUp) {
        try {
            swiGluBackward.invokeExact(
                    MemorySegment.ofArray(gradOutput),
                    MemorySegment.ofArray(gateUp),
                    (long) hidden,
                    (long) from,
                    (long) to,
                    MemorySegment.ofArray(gradGateUp));
        } catch (Throwable e) {
            throw NativeKernels.impossible(e);
        }
    }

    /** {@link SquareLanes#sum}. */
    double squares(float[] x, int from, int to) {
        try {
            return (double) squares.invokeExact(MemorySegment.ofArray(x), (long) from, (long) to);
        } catch (Throwable e) {
            throw NativeKernels.impossible(e);
        }
    }

    /** {@return max|x| over the elements before {@code length}; NaN if an element is NaN} */
    float largest(Workers workers, float[] x, int length) {
        int[] parts = new int[Math.ceilDiv(length, LARGEST_TASK)]; // bits, which have the order of magnitudes
        workers.forEach(parts.length, task -> {
            int from = task * LARGEST_TASK;
            parts[task] = Float.floatToRawIntBits(largest(x, from, from + Math.min(LARGEST_TASK, length - from)));
        });
        int bits = 0;
        for (int part : parts) {
            bits = Math.max(bits, part);
        }
        return Float.intBitsToFloat(bits);
    }

    private float largest(float[] x, int from, int to) {
        try {
            return (float) largest.invokeExact(MemorySegment.ofArray(x), (long) from, (long) to);
        } catch (Throwable e) {
            throw NativeKernels.impossible(e);
        }
    }

    /**
     * Measures groups of 128 elements.
     *
     * @param sizes receives max|x| of groups {@code from} to {@code to - 1}; NaN if an element is NaN
     */
    void groupSizes(float[] x, int from, int to, float[] sizes) {
        try {
            groupSizes.invokeExact(MemorySegment.ofArray(x), (long) from, (long) to, MemorySegment.ofArray(sizes));
        } catch (Throwable e) {
            throw NativeKernels.impossible(e);
        }
    }

    /**
     * Packs groups of 128 elements to 10 bits each.
     *
     * @param multipliers of groups {@code from} to {@code to - 1}; 0 makes codes 0
     * @param bytes receives 160 bytes a group
     */
    void encode10(float[] x, float[] multipliers, int from, int to, byte[] bytes) {
        try {
            encode10.invokeExact(
                    MemorySegment.ofArray(x),
                    MemorySegment.ofArray(multipliers),
                    (long) from,
                    (long) to,
                    MemorySegment.ofArray(bytes));
        } catch (Throwable e) {
            throw NativeKernels.impossible(e);
        }
    }

    /**
     * Packs groups of 128 elements in BF16.
     *
     * @param bytes receives 256 bytes a group
     */
    void encodeBf16(float[] x, int from, int to, byte[] bytes) {
        try {
            encodeBf16.invokeExact(MemorySegment.ofArray(x), (long) from, (long) to, MemorySegment.ofArray(bytes));
        } catch (Throwable e) {
            throw NativeKernels.impossible(e);
        }
    }

    /**
     * Unpacks groups of 128 elements of 10 bits.
     *
     * @param scales of all groups
     * @param x receives groups {@code from} to {@code to - 1}
     */
    void decode10(byte[] bytes, float[] scales, int from, int to, float[] x) {
        try {
            decode10.invokeExact(
                    MemorySegment.ofArray(bytes),
                    MemorySegment.ofArray(scales),
                    (long) from,
                    (long) to,
                    MemorySegment.ofArray(x));
        } catch (Throwable e) {
            throw NativeKernels.impossible(e);
        }
    }

    /** Unpacks groups of 128 elements in BF16, {@code from} to {@code to - 1}. */
    void decodeBf16(byte[] bytes, int from, int to, float[] x) {
        try {
            decodeBf16.invokeExact(MemorySegment.ofArray(bytes), (long) from, (long) to, MemorySegment.ofArray(x));
        } catch (Throwable e) {
            throw NativeKernels.impossible(e);
        }
    }
}
