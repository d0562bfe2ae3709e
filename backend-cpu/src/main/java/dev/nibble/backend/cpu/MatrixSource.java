package dev.nibble.backend.cpu;

import dev.nibble.host.HostMemory;
import dev.nibble.host.HostTensor;
import dev.nibble.quant.Granularity;
import dev.nibble.quant.PlaneSource;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.ScaleRule;
import dev.nibble.spi.DeviceState;
import dev.nibble.tensor.MemoryTag;

/**
 * What is rounded: a matrix, and the transform that each of its rows still has to go through. Where the scale is known
 * beforehand, rows are transformed and rounded in one pass; else the transformed matrix comes first.
 *
 * @param x [rows, cols]
 * @param transform of its rows
 */
record MatrixSource(HostTensor x, MatrixTransform transform) implements AutoCloseable {
    /** {@return the source of a call} The matrix is shared, or new if its transform has to come first. */
    static MatrixSource of(HostMemory memory, Workers workers, QuantizeSpec spec, HostTensor x, DeviceState state) {
        int rows = (int) x.shape().rows();
        int cols = (int) x.shape().cols();
        MatrixTransform transform = MatrixTransform.of(spec.transform(), state, cols);
        if (transform instanceof MatrixTransform.Identity || isOnePass(spec, state)) {
            return new MatrixSource(x.share(), transform);
        }
        HostTensor out = memory.allocate("transformed", x.dtype(), x.shape(), MemoryTag.SCRATCH);
        transform.apply(workers, HostTensor.floats(x), rows, cols, HostTensor.floats(out));
        return new MatrixSource(out, new MatrixTransform.Identity());
    }

    /** {@return whether the codes are those of one plane with one scale, which is given} */
    private static boolean isOnePass(QuantizeSpec spec, DeviceState state) {
        PlaneSpec plane = spec.operands().getFirst().planes().getFirst();
        boolean onePlane = spec.operands().getFirst().planes().size() == 1
                && (spec.operands().size() == 1 || spec.sharesCodes());
        return onePlane
                && plane.source() instanceof PlaneSource.Value
                && plane.granularity() instanceof Granularity.PerTensor
                && plane.format().bits() <= 8
                && plane.scaleRule() instanceof ScaleRule.Given given
                && HostTensor.floats(state.get(given.state()))[0] > 0;
    }

    /** {@return whether rows have to be transformed} */
    boolean transformed() {
        return !(transform instanceof MatrixTransform.Identity);
    }

    float[] values() {
        return HostTensor.floats(x);
    }

    @Override
    public void close() {
        x.close();
    }
}
