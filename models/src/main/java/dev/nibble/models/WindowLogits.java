package dev.nibble.models;

import dev.nibble.models.layers.Decoder;
import dev.nibble.spi.Backend;
import dev.nibble.tensor.Tensor;
import java.util.List;

/**
 * Each token is a forward pass over as many tokens as a sequence had in training: those of the window, and behind them the same ones
 * again, which no token before sees. So a quantizer that looks at many rows at once meets rows such as it was trained with.
 */
final class WindowLogits extends NextLogits {
    private final TokenWindow window;
    private final int[] tokens; // [texts, capacity]
    private final Tensor ids; // [texts · capacity]
    private final Tensor places; // [texts · capacity]

    WindowLogits(Backend backend, Decoder model, int step, int texts, int capacity) {
        super(backend, model, step, texts);
        this.window = new TokenWindow(capacity);
        this.tokens = new int[Math.multiplyExact(texts, capacity)];
        int[] numbers = new int[tokens.length]; // [texts, capacity]
        for (int i = 0; i < numbers.length; i++) {
            numbers[i] = i % capacity;
        }
        this.ids = integers("ids", tokens);
        this.places = integers("places", numbers);
    }

    @Override
    List<float[]> of(List<List<Integer>> seen) {
        int capacity = window.capacity();
        int length = seen.getFirst().size();
        int start = window.start(length);
        for (int i = 0; i < tokens.length; i++) {
            tokens[i] = seen.get(i / capacity).get(start + i % capacity % (length - start));
        }
        backend().write(ids, tokens);
        return run(scope -> model().forward(scope, ids, places, texts()), length - start - 1, capacity);
    }

    @Override
    long cacheBytes() {
        return 0;
    }

    @Override
    public void close() {
        ids.close();
        places.close();
        super.close();
    }
}
