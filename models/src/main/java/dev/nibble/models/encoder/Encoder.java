package dev.nibble.models.encoder;

import dev.nibble.models.layers.BiasedLinear;
import dev.nibble.models.layers.Embedding;
import dev.nibble.models.layers.InputSource;
import dev.nibble.models.layers.LayerNorm;
import dev.nibble.models.layers.Mlp;
import dev.nibble.models.layers.MlpKind;
import dev.nibble.models.layers.Parameter;
import dev.nibble.models.layers.QuantizedLayer;
import dev.nibble.models.layers.QuantizedLinear;
import dev.nibble.spi.Backend;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;

/**
 * A BERT-family encoder (Devlin et al. 2018, arXiv:1810.04805) that classifies tokens: tokens, learned positions and segments are added
 * and normed, blocks follow, and a linear layer makes logits of the vectors of those tokens that are asked for, which is the first one where
 * a whole sequence is classified. Dropout is not part of it.
 *
 * <p>The projections of the blocks are computed as their quantizers plan; embeddings, norms, GELU, biases and what is between the
 * projections of attention are FP32. Weight decay applies to the matrices of the linear layers alone.
 */
public final class Encoder implements AutoCloseable {
    private final Backend backend;
    private final FirstValues values;
    private final Function<LinearLayer, LinearQuantizer> quantizers;
    private final List<Parameter> parameters = new ArrayList<>();
    private final Embedding tokens;
    private final Embedding positions;
    private final Embedding types;
    private final LayerNorm norm;
    private final List<EncoderBlock> blocks = new ArrayList<>();
    private final BiasedLinear head;

    /**
     * Makes the model.
     *
     * @param backend computes
     * @param shape sizes
     * @param values first values of the parameters
     * @param quantizers how each linear layer is computed
     */
    public Encoder(
            Backend backend,
            EncoderShape shape,
            FirstValues values,
            Function<LinearLayer, LinearQuantizer> quantizers) {
        this.backend = backend;
        this.values = values;
        this.quantizers = quantizers;
        int ordinal = shape.tableOrdinal();
        tokens = table("embedding.weight", ordinal, shape.vocabulary(), shape.width());
        positions = table("positions.weight", ordinal + 1, shape.positions(), shape.width());
        types = table("types.weight", ordinal + 2, shape.types(), shape.width());
        norm = norm("embedding.norm", shape.width(), shape.linears(0).getFirst());
        for (int block = 0; block < shape.layers(); block++) {
            blocks.add(block(shape, block));
        }
        head = linear(shape.head());
    }

    private EncoderBlock block(EncoderShape shape, int index) {
        List<LinearLayer> layers = shape.linears(index);
        String prefix = EncoderShape.prefix(index);
        EncoderAttention attention =
                new EncoderAttention(backend, shape.heads(), linear(layers.get(0)), linear(layers.get(1)));
        LayerNorm attentionNorm = norm(prefix + "attn.norm", shape.width(), layers.get(2));
        Mlp mlp = new Mlp(backend, MlpKind.GELU, linear(layers.get(2)), linear(layers.get(3)));
        LinearLayer next = index + 1 < shape.layers() ? shape.linears(index + 1).getFirst() : shape.head();
        LayerNorm mlpNorm = norm(prefix + "mlp.norm", shape.width(), next);
        return new EncoderBlock(backend, attention, attentionNorm, mlp, mlpNorm);
    }

    private BiasedLinear linear(LinearLayer layer) {
        String name = layer.site().name();
        int ordinal = layer.site().ordinal();
        Parameter weight = parameter(name + ".weight", ordinal, Shape.of(layer.out(), layer.in()), true);
        Parameter bias = parameter(name + ".bias", ordinal, Shape.of(layer.out()), false);
        return new BiasedLinear(backend, new QuantizedLinear(backend, layer, quantizers.apply(layer), weight), bias);
    }

    private LayerNorm norm(String name, int width, LinearLayer reader) {
        Shape shape = Shape.of(width);
        Parameter weight = parameter(name + ".weight", 0, shape, false);
        Parameter bias = parameter(name + ".bias", 0, shape, false);
        return new LayerNorm(
                backend,
                weight,
                bias,
                LayerNorm.BERT_EPSILON,
                () -> quantizers.apply(reader).context());
    }

    private Embedding table(String name, int ordinal, int rows, int width) {
        return new Embedding(backend, parameter(name, ordinal, Shape.of(rows, width), false));
    }

    private Parameter parameter(String name, int ordinal, Shape shape, boolean decay) {
        float[] first = backend.hasValues() ? values.of(name, ordinal, shape) : new float[0];
        Parameter parameter = Parameter.create(backend, name, shape, decay, first);
        parameters.add(parameter);
        return parameter;
    }

    /** Has the blocks repeat their forward passes before the backward pass, to the same bits, and keep only what enters them. */
    public void repeatBlocks() {
        blocks.forEach(EncoderBlock::repeatForward);
    }

    /** {@return all parameters, each once} */
    public List<Parameter> parameters() {
        return List.copyOf(parameters);
    }

    /** {@return the linear layers: those of the blocks, the head} */
    public List<QuantizedLayer> linears() {
        List<QuantizedLayer> linears = new ArrayList<>();
        blocks.forEach(block -> linears.addAll(block.linears()));
        linears.add(head.quantized());
        return linears;
    }

    /** {@return the vectors of all tokens after the last block, FP32, [rows, width], owned by the caller} */
    public Tensor encode(StepScope scope, Sentences batch) {
        Tensor x;
        try (Tensor sum = tokens.forward(scope, batch.ids());
                Tensor places = positions.forward(scope, batch.places());
                Tensor segments = types.forward(scope, batch.types())) {
            backend.neural().addInPlace(scope, sum, segments);
            backend.neural().addInPlace(scope, sum, places);
            x = norm.forward(scope, sum);
        }
        for (EncoderBlock block : blocks) {
            x = block.forward(scope, x, batch.lengths());
        }
        return x;
    }

    /** {@return logits, FP32, [asked, classes], owned by the caller} */
    public Tensor forward(StepScope scope, Sentences batch) {
        try (Tensor x = encode(scope, batch);
                Tensor asked = backend.neural().embedding(scope, batch.asked(), x)) {
            return head.forward(scope, asked);
        }
    }

    /**
     * Adds to the gradients of all parameters.
     *
     * @param batch as in the forward pass
     * @param gradLogits gradient of the logits
     */
    public void backward(StepScope scope, Sentences batch, Tensor gradLogits) {
        Tensor gradient;
        try (Tensor gradAsked = head.backward(scope, gradLogits, inner -> asked(inner, batch))) {
            gradient = scope.allocate(
                    "gradient of tokens",
                    DType.FP32,
                    Shape.of(batch.rows(), gradAsked.shape().cols()));
            backend.neural().zero(scope, gradient);
            backend.neural().embeddingBackward(scope, batch.asked(), gradAsked, gradient);
        }
        for (int i = blocks.size() - 1; i >= 0; i--) {
            InputSource input = i == 0 ? norm::recompute : blocks.get(i - 1)::output;
            gradient = blocks.get(i).backward(scope, gradient, input);
        }
        try (Tensor gradSum = gradient;
                Tensor gradTables = norm.backward(scope, gradSum)) {
            positions.backward(scope, batch.places(), gradTables);
            types.backward(scope, batch.types(), gradTables);
            tokens.backward(scope, batch.ids(), gradTables);
        }
    }

    private Tensor asked(StepScope scope, Sentences batch) {
        try (Tensor x = blocks.getLast().output(scope)) {
            return backend.neural().embedding(scope, batch.asked(), x);
        }
    }

    @Override
    public void close() {
        norm.close();
        blocks.forEach(EncoderBlock::close);
        head.close();
        parameters.forEach(Parameter::close);
    }
}
