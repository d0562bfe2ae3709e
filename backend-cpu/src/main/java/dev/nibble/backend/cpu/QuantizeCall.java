package dev.nibble.backend.cpu;

import dev.nibble.host.HostMemory;
import dev.nibble.host.HostTensor;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.random.RandomStream;
import dev.nibble.spi.DeviceState;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Shape;
import java.util.Optional;

/**
 * What one tensor is quantized by.
 *
 * @param scope the open step
 * @param memory for what the call needs meanwhile
 * @param workers threads
 * @param kernels the native library, if it quantizes
 * @param spec what is asked for
 * @param site who asks
 * @param state of the layer
 * @param seed of the run
 */
record QuantizeCall(
        StepScope scope,
        HostMemory memory,
        Workers workers,
        Optional<NativeKernels> kernels,
        QuantizeSpec spec,
        Site site,
        DeviceState state,
        long seed) {
    /** {@return the numbers of a draw} */
    RandomStream stream(int purpose, int sample) {
        StepContext context = scope.context();
        return new RandomStream(
                seed, context.step(), context.microBatch(), site.ordinal(), spec.role(), purpose, sample);
    }

    HostTensor allocate(String what, DType dtype, Shape shape) {
        return HostTensor.of(scope.allocate(site.name() + " " + spec.role().label() + " " + what, dtype, shape));
    }
}
