package dev.nibble.models;

import dev.nibble.models.layers.Decoder;
import dev.nibble.models.layers.KeyValueCache;
import dev.nibble.spi.Backend;
import dev.nibble.tensor.Tensor;
import java.util.Arrays;
import java.util.List;

/** The tokens that a window begins with are one forward pass, and each token that is added then is a row of its own. */
final class CachedLogits extends NextLogits {
    private final TokenWindow window;
    private final KeyValueCache cache;
    private final int[] newest; // [texts]: tokens, or places
    private final Tensor ids; // [texts]
    private final Tensor places; // [texts]
    private int start; // of the window in the cache
    private int end; // behind the last token in the cache

    CachedLogits(Backend backend, Decoder model, int step, int texts, int capacity) {
        super(backend, model, step, texts);
        this.window = new TokenWindow(capacity);
        this.newest = new int[texts];
        this.ids = integers("ids", newest);
        this.places = integers("places", newest);
        try {
            this.cache = model.cache(texts, capacity);
        } catch (RuntimeException e) {
            closeTensors();
            throw e;
        }
    }

    @Override
    List<float[]> of(List<List<Integer>> seen) {
        int length = seen.getFirst().size();
        int from = window.start(length);
        boolean follows = from == start && length == end + 1 && end > start;
        start = from;
        end = length;
        return follows ? one(seen) : all(seen);
    }

    private List<float[]> one(List<List<Integer>> seen) {
        for (int text = 0; text < newest.length; text++) {
            newest[text] = seen.get(text).getLast();
        }
        backend().write(ids, newest);
        Arrays.fill(newest, end - start - 1);
        backend().write(places, newest);
        return run(scope -> model().next(scope, ids, places, cache), 0, 1);
    }

    private List<float[]> all(List<List<Integer>> seen) {
        int rows = end - start;
        int[] tokens = new int[Math.multiplyExact(texts(), rows)]; // [texts, rows]
        int[] numbers = new int[tokens.length]; // [texts, rows]
        for (int i = 0; i < tokens.length; i++) {
            tokens[i] = seen.get(i / rows).get(start + i % rows);
            numbers[i] = i % rows;
        }
        try (Tensor windowIds = integers("ids", tokens);
                Tensor windowPlaces = integers("places", numbers)) {
            return run(scope -> model().next(scope, windowIds, windowPlaces, cache), 0, 1);
        }
    }

    @Override
    long cacheBytes() {
        return cache.bytes();
    }

    private void closeTensors() {
        ids.close();
        places.close();
        super.close();
    }

    @Override
    public void close() {
        cache.close();
        closeTensors();
    }
}
