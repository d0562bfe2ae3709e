package dev.nibble.backend.cpu;

import dev.nibble.host.HostTensor;
import dev.nibble.quant.Statistic;
import dev.nibble.quant.Threshold;
import dev.nibble.reference.BlockMetric;
import dev.nibble.spi.DeviceState;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Shape;

/** The side results of one call, and the threshold that its first residual decided by. */
final class QuantizeStatistics {
    private final float[] values = new float[Statistic.count()]; // [Statistic.count()]
    private boolean decided;
    private float threshold;

    /** Begins with the amax of each block of the first operand. */
    QuantizeStatistics(float[] amaxes) {
        float largest = 0;
        for (float amax : amaxes) {
            largest = Math.max(largest, amax); // NaN stays
        }
        BlockMetric.write(largest, values);
    }

    void set(Statistic statistic, float value) {
        values[statistic.ordinal()] = value;
    }

    /** {@return the threshold in force: that of the first residual} */
    float threshold(Threshold rule, float[] metric, DeviceState state) {
        if (!decided) {
            threshold = switch (rule) {
                case Threshold.Delayed delayed -> HostTensor.floats(state.get(delayed.state()))[0];
                case Threshold.ExactQuantile exact -> BlockMetric.quantile(metric, exact.quantile());
                case Threshold.Capped capped ->
                    Math.max(
                            HostTensor.floats(state.get(capped.state()))[0],
                            BlockMetric.quantile(metric, 1 - capped.largestRate()));
            };
        }
        return threshold;
    }

    /** Notes what the first residual did; later ones leave no trace. */
    void decide(float[] amaxes, byte[] mask) {
        if (decided) {
            return;
        }
        int flagged = 0;
        for (byte present : mask) {
            flagged += present;
        }
        BlockMetric.write(amaxes, flagged, threshold, values);
        decided = true;
    }

    /** {@return the vector of statistics} */
    HostTensor store(QuantizeCall call) {
        HostTensor stored = call.allocate("statistics", DType.FP32, Shape.of(Statistic.count()));
        System.arraycopy(values, 0, HostTensor.floats(stored), 0, values.length);
        return stored;
    }
}
