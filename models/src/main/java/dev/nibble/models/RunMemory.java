package dev.nibble.models;

import dev.nibble.tensor.MemoryTag;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;

/**
 * What a run was predicted to hold, and what its backend's allocator held.
 *
 * @param forecast the prediction
 * @param live bytes at the end of the first forward pass, by tag; empty if the run did not get that far
 * @param peakBytes the largest sum
 * @param heldBytes the most that was held of the device: {@link dev.nibble.spi.MemoryUse#heldBytes}
 */
public record RunMemory(MemoryForecast forecast, Map<MemoryTag, Long> live, long peakBytes, long heldBytes) {
    /** Copies the map. */
    public RunMemory {
        live = Map.copyOf(live);
    }

    /**
     * A kind of memory.
     *
     * @param name as in records: {@code savedActivations}
     * @param label in words
     * @param predicted bytes; of what is held of the device, the peak
     * @param measured bytes; empty if the run did not get that far
     */
    public record Row(String name, String label, long predicted, OptionalLong measured) {}

    /** {@return the kinds, the peak, and what was held of the device} */
    public List<Row> rows() {
        List<Row> rows = new ArrayList<>();
        rows.add(row("weights", "weights", forecast.weights(), MemoryTag.PARAMETER));
        rows.add(row("gradients", "gradients", forecast.gradients(), MemoryTag.GRADIENT));
        rows.add(row("optimizer", "optimizer", forecast.optimizer(), MemoryTag.OPTIMIZER));
        rows.add(row("state", "state of quantizers, batch", forecast.state(), MemoryTag.STATE));
        rows.add(row("savedActivations", "saved activations", forecast.savedActivations(), MemoryTag.CONTEXT));
        rows.add(row(
                "codesAndWorkspace",
                "codes of weights, logits",
                forecast.weightCodes() + forecast.workspace(),
                MemoryTag.SCRATCH));
        rows.add(new Row("peak", "peak", forecast.peak(), measured(peakBytes)));
        rows.add(new Row("held", "held of the device", forecast.peak(), measured(heldBytes)));
        return rows;
    }

    private OptionalLong measured(long bytes) {
        return live.isEmpty() ? OptionalLong.empty() : OptionalLong.of(bytes);
    }

    private Row row(String name, String label, long predicted, MemoryTag tag) {
        return new Row(name, label, predicted, measured(live.getOrDefault(tag, 0L)));
    }
}
