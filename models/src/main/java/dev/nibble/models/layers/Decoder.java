package dev.nibble.models.layers;

import dev.nibble.spi.Backend;
import dev.nibble.spi.BlockCopy;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Function;

/**
 * A decoder, in one of the ways of {@link DecoderStyle}: token vectors, plus learned positions if the style has them, pre-norm
 * blocks, a last norm, and a head. Token vectors, positions, norms and biases are FP32; every linear layer is computed as its
 * quantizer says.
 *
 * <p>First weights are normal with deviation 0.02, divided by {@code sqrt(2 · layers)} where a branch joins the residual
 * stream (Radford et al. 2019); norms start at 1 and biases at 0. They depend on the seed alone. Weight decay applies to
 * the matrices of the linear layers, not to norms, biases, positions and the embedding's table, tied or not.
 */
public final class Decoder implements AutoCloseable {
    private static final double DEVIATION = 0.02;

    private final List<Parameter> parameters;
    private final Backend backend;
    private final Embedding embedding;
    private final Optional<Embedding> positions;
    private final List<Block> blocks = new ArrayList<>();
    private final Norm norm;
    private final QuantizedLinear head;

    /**
     * Makes the model with its first weights.
     *
     * @param backend computes
     * @param shape sizes
     * @param seed seed of the first weights
     * @param quantizers how each linear layer is computed
     */
    public Decoder(Backend backend, DecoderShape shape, long seed, Function<LinearLayer, LinearQuantizer> quantizers) {
        this.backend = backend;
        LayerFactory factory = new LayerFactory(backend, seed, quantizers, _ -> DEVIATION, shape.layers());
        Parameter table = factory.table(
                "embedding.weight",
                DecoderShape.EMBEDDING_ORDINAL,
                Shape.of(shape.vocabulary(), shape.width()),
                DEVIATION);
        embedding = new Embedding(backend, table);
        positions = shape.positions() == 0
                ? Optional.empty()
                : Optional.of(new Embedding(
                        backend,
                        factory.table(
                                "positions.weight",
                                shape.positionOrdinal(),
                                Shape.of(shape.positions(), shape.width()),
                                DEVIATION)));
        for (int block = 0; block < shape.layers(); block++) {
            blocks.add(factory.block(block, shape.block(), shape.linears(block), shape.products(block)));
        }
        norm = factory.norm("norm", shape.block(), shape.head());
        head = shape.tiedHead()
                ? new QuantizedLinear(backend, shape.head(), quantizers.apply(shape.head()), table)
                : factory.linear(shape.head());
        parameters = factory.parameters();
    }

    /** Has the blocks repeat their forward passes before the backward pass, to the same bits, and keep only what enters them. */
    public void repeatBlocks() {
        blocks.forEach(Block::repeatForward);
    }

    /** {@return tokens that there are} */
    public int vocabulary() {
        return Math.toIntExact(head.layer().out());
    }

    /** {@return whether the places of tokens are read} */
    public boolean hasPositions() {
        return positions.isPresent();
    }

    /** {@return all parameters, each once} */
    public List<Parameter> parameters() {
        return parameters;
    }

    /** {@return the linear layers: those of the blocks, with the products of attention that are quantized, then the head} */
    public List<QuantizedLayer> linears() {
        List<QuantizedLayer> linears = new ArrayList<>();
        blocks.forEach(block -> linears.addAll(block.linears()));
        linears.add(head);
        return linears;
    }

    /**
     * {@return logits, FP32, [tokens, vocabulary], owned by the caller}
     *
     * @param ids INT32, [tokens]: the sequences one after the other
     * @param places INT32, [tokens]: where in its sequence a token is; nothing reads it if the style has no learned positions
     * @param batch sequences in ids
     */
    public Tensor forward(StepScope scope, Tensor ids, Tensor places, int batch) {
        try (Tensor hidden = hidden(scope, ids, places, batch)) {
            return head.forward(scope, hidden);
        }
    }

    /**
     * {@return what the head reads, FP32, [tokens, width], owned by the caller} In training, keeps what {@link #backward} needs.
     *
     * @param ids as in {@link #forward}
     * @param places as in {@link #forward}
     * @param batch as in {@link #forward}
     */
    public Tensor hidden(StepScope scope, Tensor ids, Tensor places, int batch) {
        Tensor x = embed(scope, ids, places);
        for (Block block : blocks) {
            x = block.forward(scope, x, batch);
        }
        try (Tensor last = x) {
            return norm.forward(scope, last);
        }
    }

    /** {@return what the latest {@link #hidden} in training gave, once more, owned by the caller} */
    public Tensor hiddenAgain(StepScope scope) {
        return norm.recompute(scope);
    }

    /**
     * {@return the head with its loss, owned by the caller}
     *
     * @param chunks how many logits may exist at once
     */
    public Classifier classifier(LogitChunks chunks) {
        return new Classifier(backend, head, chunks);
    }

    /** {@return whether there can be a cache of keys and values: not where a quantizer plans the products of attention} */
    public boolean isCacheable() {
        return blocks.stream().allMatch(Block::isCacheable);
    }

    /**
     * {@return an empty cache for {@link #next}, owned by the caller}
     *
     * @param sequences that grow side by side
     * @param capacity positions of each, at most those that are learned
     * @throws IllegalStateException if the model is not {@linkplain #isCacheable cacheable}
     */
    public KeyValueCache cache(int sequences, int capacity) {
        if (!isCacheable()) {
            throw new IllegalStateException(
                    "attention of this model has quantized products, but only attention in FP32 has a cache of keys and values");
        }
        return new KeyValueCache(backend, blocks.getFirst().cacheShape(sequences, capacity), blocks.size());
    }

    /**
     * Goes on with the sequences of a cache, forward only.
     *
     * @param ids INT32, [sequences · rows]: rows new tokens of each sequence, one sequence after the other
     * @param places INT32, [sequences · rows]: their positions, those that follow the positions in the cache
     * @param cache what the tokens before have left; these are added
     * @return logits of the last row of each sequence, FP32, [sequences, vocabulary], owned by the caller; in FP32 they have the bits
     *     of {@link #forward} over whole sequences
     */
    public Tensor next(StepScope scope, Tensor ids, Tensor places, KeyValueCache cache) {
        Tensor x = embed(scope, ids, places);
        for (int block = 0; block < blocks.size(); block++) {
            x = blocks.get(block).forward(scope, x, places, cache.block(block), cache.shape());
        }
        try (Tensor last = lastRows(scope, x, cache.shape().batch());
                Tensor normed = norm.forward(scope, last)) {
            return head.forward(scope, normed);
        }
    }

    /** {@return the last row of each sequence} */
    private Tensor lastRows(StepScope scope, Tensor x, int sequences) {
        int rows = Math.toIntExact(x.shape().rows() / sequences);
        if (rows == 1) {
            return x;
        }
        int width = Math.toIntExact(x.shape().cols());
        try (x) {
            Tensor last = scope.allocate("last rows", DType.FP32, Shape.of(sequences, width));
            for (int sequence = 0; sequence < sequences; sequence++) {
                BlockCopy copy = BlockCopy.cut(1, width, (sequence + 1) * rows - 1, 0);
                backend.neural().copyBlock(scope, x, last, copy.to(sequence, 0));
            }
            return last;
        }
    }

    private Tensor embed(StepScope scope, Tensor ids, Tensor places) {
        Tensor x = embedding.forward(scope, ids);
        positions.ifPresent(table -> {
            try (Tensor vectors = table.forward(scope, places)) {
                backend.neural().addInPlace(scope, x, vectors);
            }
        });
        return x;
    }

    /**
     * Adds to the gradients of all parameters but the head's, which the {@link Classifier} adds to.
     *
     * @param ids as in the forward pass
     * @param places as in the forward pass
     * @param gradHidden gradient of what the head reads; closed as soon as it has been read
     */
    public void backward(StepScope scope, Tensor ids, Tensor places, Tensor gradHidden) {
        Tensor gradient;
        try (gradHidden) {
            gradient = norm.backward(scope, gradHidden);
        }
        try (gradient) {
            for (Block block : blocks.reversed()) {
                block.backward(scope, gradient);
            }
            embedBackward(scope, ids, places, gradient);
        }
    }

    private void embedBackward(StepScope scope, Tensor ids, Tensor places, Tensor gradient) {
        positions.ifPresent(table -> table.backward(scope, places, gradient));
        embedding.backward(scope, ids, gradient);
    }

    @Override
    public void close() {
        blocks.forEach(Block::close);
        norm.close();
        head.close();
        parameters.forEach(Parameter::close);
    }
}
