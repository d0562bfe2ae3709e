package dev.nibble.spi;

import dev.nibble.tensor.MemoryTag;
import java.util.Map;

/**
 * What an allocator holds; counted, not computed.
 *
 * @param live bytes by tag; a tag that is missing has none
 * @param peakBytes the largest sum so far
 * @param heldBytes the most that it has held of its device so far: with the gaps between tensors, what waits to be used again, and
 *     what the backend keeps for itself
 */
public record MemoryUse(Map<MemoryTag, Long> live, long peakBytes, long heldBytes) {
    /** Copies the map. */
    public MemoryUse {
        live = Map.copyOf(live);
    }

    /** {@return live bytes with this tag} */
    public long live(MemoryTag tag) {
        return live.getOrDefault(tag, 0L);
    }
}
