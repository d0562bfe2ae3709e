package dev.nibble.models.layers;

import dev.nibble.spi.Backend;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.StepScope;
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
        Tensor x = embed(scope, ids, places);
        for (Block block : blocks) {
            x = block.forward(scope, x, batch);
        }
        try (Tensor last = x;
                Tensor normed = norm.forward(scope, last)) {
            return head.forward(scope, normed);
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
     * Adds to the gradients of all parameters.
     *
     * @param ids as in the forward pass
     * @param places as in the forward pass
     * @param gradLogits gradient of the logits
     */
    public void backward(StepScope scope, Tensor ids, Tensor places, Tensor gradLogits) {
        Tensor gradient;
        try (Tensor gradNormed = head.backward(scope, gradLogits, norm::recompute)) {
            gradient = norm.backward(scope, gradNormed);
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
