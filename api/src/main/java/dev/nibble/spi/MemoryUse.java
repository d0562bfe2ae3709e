package dev.nibble.spi;

import dev.nibble.tensor.MemoryTag;
import java.util.Map;

/**
 * What an allocator holds; counted, not computed.
 *
 * @param live bytes by tag; a tag that is missing has none
 * @param peakBytes the largest sum so far
 */
public record MemoryUse(Map<MemoryTag, Long> live, long peakBytes) {
    /** Copies the map. */
    public MemoryUse {
        live = Map.copyOf(live);
    }

    /** {@return live bytes with this tag} */
    public long live(MemoryTag tag) {
        return live.getOrDefault(tag, 0L);
    }
}
