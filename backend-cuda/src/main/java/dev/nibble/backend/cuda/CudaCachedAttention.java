package dev.nibble.backend.cuda;

import dev.nibble.reference.OperandChecks;
import dev.nibble.spi.KeyValueShape;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * Attention of tokens that follow those of a cache, FP32 whatever attention of whole sequences is computed in, to the bits of {@link
 * dev.nibble.reference.ReferenceCachedAttention}.
 */
final class CudaCachedAttention {
    private static final String FILE = "cached_attention";
    private static final int BLOCK = 256;
    private static final int QUAD = 16; // bytes of four floats
    private static final int BYTES = 20; // of the structure Cache of cached_attention.cu

    private final CudaRuntime runtime;
    private final RotaryAngles angles;
    private final MemorySegment structure = Arena.ofAuto().allocate(BYTES, Integer.BYTES);

    CudaCachedAttention(CudaRuntime runtime, RotaryAngles angles) {
        this.runtime = runtime;
        this.angles = angles;
    }

    /** See {@link dev.nibble.spi.NeuralOps#cachedAttention}. */
    Tensor forward(StepScope scope, Tensor qkv, Tensor places, Tensor cache, KeyValueShape shape) {
        int rowsOfEach = OperandChecks.rowsOfCache(qkv, places, cache, shape);
        CudaTensor.requireBelow("places", places, shape.capacity());
        int shared = shared(shape);
        long rows = qkv.shape().rows();
        long table = shape.rotaryBase() == 0 ? 0 : angles.address(shape.sequences(), shape.rotaryBase());
        Tensor out =
                scope.allocate("cached attention", DType.FP32, Shape.of(rows, (long) shape.heads() * shape.headSize()));
        Args put = runtime.args()
                .floats(qkv)
                .ints(places)
                .pointer(table)
                .floats(cache)
                .struct(describe(shape, rowsOfEach))
                .i64(rows)
                .about(cache);
        runtime.kernels().get(FILE, "cache_put").launch(rows, 1, 1, BLOCK, 0, put);
        Args attend = runtime.args()
                .floats(qkv)
                .ints(places)
                .floats(cache)
                .floats(out)
                .struct(describe(shape, rowsOfEach))
                .i64(rows)
                .about(out);
        long blocks = Math.min(Integer.MAX_VALUE, rows * shape.heads());
        runtime.kernels().get(FILE, FILE).launch(blocks, 1, 1, BLOCK, shared, attend);
        return out;
    }

    /** {@return shared memory of a block: q, and a weight for each key, each filled up to 16 bytes} */
    private int shared(KeyValueShape shape) {
        long bytes = quads(shape.headSize()) + quads(shape.capacity());
        long room = runtime.device().largestShared() - 1024L; // what the kernel declares itself
        if (bytes > room) {
            throw new IllegalArgumentException(
                    "the cache of keys and values has %d positions for heads of %d features, but this device serves at most %d"
                            .formatted(
                                    shape.capacity(),
                                    shape.headSize(),
                                    (room - quads(shape.headSize())) / QUAD * QUAD / Float.BYTES));
        }
        return (int) bytes;
    }

    private static long quads(int floats) {
        return Math.ceilDiv((long) floats * Float.BYTES, QUAD) * QUAD;
    }

    private MemorySegment describe(KeyValueShape shape, int rowsOfEach) {
        structure.setAtIndex(ValueLayout.JAVA_INT, 0, rowsOfEach);
        structure.setAtIndex(ValueLayout.JAVA_INT, 1, shape.capacity());
        structure.setAtIndex(ValueLayout.JAVA_INT, 2, shape.heads());
        structure.setAtIndex(ValueLayout.JAVA_INT, 3, shape.headSize());
        structure.setAtIndex(ValueLayout.JAVA_FLOAT, 4, (float) (1 / Math.sqrt(shape.headSize())));
        return structure;
    }
}
