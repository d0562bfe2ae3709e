package dev.nibble.backend.cpu;

import dev.nibble.host.HostMemory;
import dev.nibble.reference.AttentionHead;
import dev.nibble.reference.ReferenceAttention;
import dev.nibble.spi.AttentionShape;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** Attention by the native library, bit-equal to {@link AttentionKernel}; a task is a head. */
final class NativeAttention implements AutoCloseable {
    private static final int CALL = 13; // longs of AttentionCall in neural.h

    private final NativeNeural functions;
    private final Workers workers;
    private final NativeScratch scratch;

    NativeAttention(NativeKernels kernels, HostMemory memory, Workers workers) {
        this.functions = kernels.neural();
        this.workers = workers;
        this.scratch = new NativeScratch(memory, kernels);
    }

    /** {@link AttentionKernel#forward} of all heads. */
    void forward(AttentionShape shape, float[] qkv, float[] out, float[] logs) {
        forEachBlock(shape, (head, call, memory) -> {
            functions.attention(call, qkv, out, logs, memory);
            for (int row = 0; row < (int) call[5]; row++) {
                int at = head.log((int) call[4] + row);
                float sum = memory.getAtIndex(ValueLayout.JAVA_FLOAT, row);
                logs[at] = ReferenceAttention.logSumExp(logs[at], sum);
            }
        });
    }

    /** {@link AttentionKernel#backward} of all heads. */
    void backward(AttentionShape shape, float[] gradOutput, float[] qkv, float[] out, float[] logs, float[] gradQkv) {
        forEachBlock(
                shape,
                (_, call, memory) -> functions.attentionBackward(call, gradOutput, qkv, out, logs, gradQkv, memory));
    }

    /** Works on some queries of a head. */
    @FunctionalInterface
    private interface Step {
        void accept(AttentionHead head, long[] call, MemorySegment memory);
    }

    private void forEachBlock(AttentionShape shape, Step step) {
        int heads = Math.multiplyExact(shape.batch(), shape.heads());
        int slots = Math.min(workers.threads(), heads);
        long bytes = functions.attentionBytes(shape.sequence(), shape.headSize());
        MemorySegment all = scratch.lend(slots * bytes);
        try {
            workers.forEachSlot(slots, heads, (slot, task) -> {
                MemorySegment memory = all.asSlice(slot * bytes, bytes);
                AttentionHead head = AttentionHead.of(shape, task);
                for (int first = 0; first < head.sequence(); first += NativeNeural.QUERIES) {
                    step.accept(head, call(head, first), memory);
                }
            });
        } finally {
            scratch.giveBack();
        }
    }

    private static long[] call(AttentionHead head, int first) {
        long[] call = new long[CALL];
        call[0] = head.sequence();
        call[1] = head.size();
        call[2] = head.causal() ? 1 : 0;
        call[3] = Float.floatToRawIntBits(head.scale());
        call[4] = first;
        call[5] = Math.min(NativeNeural.QUERIES, head.sequence() - first);
        call[6] = head.q(0);
        call[7] = head.k(0);
        call[8] = head.v(0);
        call[9] = 3L * head.width();
        call[10] = head.output(0);
        call[11] = head.width();
        call[12] = head.log(0);
        return call;
    }

    @Override
    public void close() {
        scratch.close();
    }
}
