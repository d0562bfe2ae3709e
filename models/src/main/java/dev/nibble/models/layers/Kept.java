package dev.nibble.models.layers;

import dev.nibble.quant.TensorCodec;
import dev.nibble.spi.Backend;
import dev.nibble.spi.EncodedTensor;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.Tensor;
import java.util.Optional;

/** A tensor that an operation keeps from the forward for the backward pass: as it is, or packed. */
public sealed interface Kept extends AutoCloseable {
    /** {@return the tensor, owned by the caller; if it was packed, what its codes mean} */
    Tensor tensor(StepScope scope);

    @Override
    void close();

    /**
     * {@return what is kept of a tensor, counted as context}
     *
     * @param codec how it is packed; empty for as it is
     * @param x if it is not packed, kept by a handle of its own: it must not be modified before the backward pass
     */
    static Kept of(Backend backend, StepScope scope, Optional<TensorCodec> codec, Tensor x) {
        if (codec.isEmpty()) {
            scope.save(x);
            return new Plain(x.share());
        }
        EncodedTensor encoded = backend.codec().encode(scope, codec.get(), x);
        encoded.save(scope);
        return new Packed(backend, encoded);
    }

    /**
     * The tensor itself.
     *
     * @param x owned by this
     */
    record Plain(Tensor x) implements Kept {
        @Override
        public Tensor tensor(StepScope scope) {
            return x.share();
        }

        @Override
        public void close() {
            x.close();
        }
    }

    /**
     * Its codes.
     *
     * @param backend computes
     * @param encoded owned by this
     */
    record Packed(Backend backend, EncodedTensor encoded) implements Kept {
        @Override
        public Tensor tensor(StepScope scope) {
            return backend.codec().decode(scope, encoded);
        }

        @Override
        public void close() {
            encoded.close();
        }
    }
}
