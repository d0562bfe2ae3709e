package dev.nibble.models;

import dev.nibble.models.layers.Decoder;
import dev.nibble.spi.Backend;
import dev.nibble.spi.BlockCopy;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;

/** The logits of the tokens that follow some texts of the same length. */
abstract sealed class NextLogits implements AutoCloseable permits CachedLogits, WindowLogits {
    private final Backend backend;
    private final Decoder model;
    private final StepContext context;
    private final int texts;
    private final Tensor last; // FP32, [texts, vocabulary]

    /**
     * Prepares.
     *
     * @param step that the state of the quantizers belongs to
     * @param texts how many there are
     */
    NextLogits(Backend backend, Decoder model, int step, int texts) {
        this.backend = backend;
        this.model = model;
        this.context = StepContext.eval(step);
        this.texts = texts;
        this.last = backend.allocate("logits", DType.FP32, Shape.of(texts, model.vocabulary()), MemoryTag.STATE);
    }

    final Backend backend() {
        return backend;
    }

    final Decoder model() {
        return model;
    }

    final int texts() {
        return texts;
    }

    /** A forward pass. */
    @FunctionalInterface
    interface Pass {
        /** {@return logits, [rows, vocabulary], owned by the caller} */
        Tensor logits(StepScope scope);
    }

    /**
     * {@return the logits of each text, [vocabulary]}
     *
     * @param seen tokens of each text, of which one more may have been added since the last call
     */
    abstract List<float[]> of(List<List<Integer>> seen);

    /** {@return bytes of keys and values} */
    abstract long cacheBytes();

    /** {@return the logits of row {@code first + i · stride} for text i} */
    final List<float[]> run(Pass pass, int first, int stride) {
        int vocabulary = model.vocabulary();
        try (StepScope scope = backend.beginStep(context);
                Tensor logits = pass.logits(scope)) {
            for (int text = 0; text < texts; text++) {
                BlockCopy row = BlockCopy.cut(1, vocabulary, first + text * stride, 0);
                backend.neural().copyBlock(scope, logits, last, row.to(text, 0));
            }
        }
        float[] all = backend.readFloats(last); // [texts, vocabulary]
        return IntStream.range(0, texts)
                .mapToObj(text -> Arrays.copyOfRange(all, text * vocabulary, (text + 1) * vocabulary))
                .toList();
    }

    /** {@return integers on the device, owned by the caller} */
    final Tensor integers(String label, int[] values) {
        Tensor tensor = backend.allocate(label, DType.INT32, Shape.of(values.length), MemoryTag.STATE);
        backend.write(tensor, values);
        return tensor;
    }

    @Override
    public void close() {
        last.close();
    }
}
