package dev.nibble.models.layers;

import dev.nibble.spi.Backend;
import dev.nibble.spi.KeyValueShape;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;

/** The keys and values that the attention of each block of a {@link Decoder} has seen of some sequences: memory that is taken once. */
public final class KeyValueCache implements AutoCloseable {
    private final KeyValueShape shape;
    private final List<Tensor> blocks = new ArrayList<>(); // KeyValueShape.cache each

    /**
     * Allocates the memory.
     *
     * @param shape of each block
     * @param layers blocks
     */
    KeyValueCache(Backend backend, KeyValueShape shape, int layers) {
        this.shape = shape;
        try {
            for (int block = 0; block < layers; block++) {
                String label = BlockShape.prefix(block) + "attn.cache";
                blocks.add(backend.allocate(label, DType.FP32, shape.cache(), MemoryTag.STATE));
            }
        } catch (RuntimeException e) {
            close();
            throw e;
        }
    }

    /** {@return sizes of the cache of each block} */
    KeyValueShape shape() {
        return shape;
    }

    /** {@return the cache of a block} */
    Tensor block(int index) {
        return blocks.get(index);
    }

    /** {@return bytes of all blocks} */
    public long bytes() {
        return blocks.size() * shape.cache().elements() * Float.BYTES;
    }

    @Override
    public void close() {
        blocks.forEach(Tensor::close);
        blocks.clear();
    }
}
