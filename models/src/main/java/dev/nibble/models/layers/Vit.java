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
import java.util.LinkedHashMap;
import java.util.List;
import java.util.SequencedMap;
import java.util.function.Function;

/**
 * A small vision transformer (Dosovitskiy et al. 2020, arXiv:2010.11929), sized as in DeiT (Touvron et al. 2020,
 * arXiv:2012.12877): a linear layer makes tokens of patches, learned positions are added, pre-norm blocks without a mask
 * follow, and the mean of the tokens, normed, goes to the head: there is no class token. {@link VitStyle} says what norms are and whether
 * layers have biases.
 *
 * <p>First weights are normal with deviation {@code 1 / sqrt(in)} (LeCun et al. 1998), since 0.02 is small for a narrow
 * model, divided by {@code sqrt(2 · layers)} where a branch joins the residual stream (Radford et al. 2019); positions
 * have deviation 0.02, norms start at 1 and biases at 0. They depend on the seed alone. Weight decay applies to the matrices of the
 * linear layers, not to norms, biases and positions.
 */
public final class Vit implements ImageModel {
    private static final double POSITION_DEVIATION = 0.02;

    private final Backend backend;
    private final int tokens;
    private final List<Parameter> parameters;
    private final Linear patch;
    private final Embedding positions;
    private final List<Block> blocks = new ArrayList<>();
    private final Norm norm;
    private final Linear head;

    /**
     * Makes the model with its first weights.
     *
     * @param backend computes
     * @param shape sizes
     * @param tokens patches of an image
     * @param seed seed of the first weights
     * @param quantizers how each linear layer is computed
     */
    public Vit(
            Backend backend, VitShape shape, int tokens, long seed, Function<LinearLayer, LinearQuantizer> quantizers) {
        this.backend = backend;
        this.tokens = tokens;
        LayerFactory factory = new LayerFactory(
                backend, seed, quantizers, layer -> 1 / Math.sqrt((double) layer.in()), shape.layers());
        patch = factory.withBias(factory.linear(shape.patchLayer()), shape.block());
        Shape places = Shape.of(tokens, shape.width());
        positions = new Embedding(
                backend, factory.table("positions.weight", shape.positionOrdinal(), places, POSITION_DEVIATION));
        for (int block = 0; block < shape.layers(); block++) {
            blocks.add(factory.block(block, shape.block(), shape.linears(block), shape.products(block)));
        }
        norm = factory.norm("norm", shape.block(), shape.head());
        head = factory.withBias(factory.linear(shape.head()), shape.block());
        parameters = factory.parameters();
    }

    @Override
    public void repeatBlocks() {
        blocks.forEach(Block::repeatForward);
    }

    @Override
    public List<Parameter> parameters() {
        return parameters;
    }

    @Override
    public List<QuantizedLayer> linears() {
        List<QuantizedLayer> linears = new ArrayList<>();
        linears.add(patch.quantized());
        blocks.forEach(block -> linears.addAll(block.linears()));
        linears.add(head.quantized());
        return linears;
    }

    @Override
    public SequencedMap<String, Tensor> averages() {
        return new LinkedHashMap<>();
    }

    @Override
    public Tensor forward(StepScope scope, Tensor patches, Tensor ids) {
        int images = Math.toIntExact(patches.shape().rows() / tokens);
        Tensor x;
        try (Tensor copy = copy(scope, patches)) {
            x = patch.forward(scope, copy);
        }
        try (Tensor places = positions.forward(scope, ids)) {
            backend.neural().addInPlace(scope, x, places);
        }
        for (Block block : blocks) {
            x = block.forward(scope, x, images);
        }
        try (Tensor last = x;
                Tensor mean = backend.neural().meanRows(scope, last, tokens);
                Tensor normed = norm.forward(scope, mean)) {
            return head.forward(scope, normed);
        }
    }

    /** What a layer keeps counts as kept for the backward pass until it is freed, and a batch's tensor never is. */
    private Tensor copy(StepScope scope, Tensor patches) {
        Tensor copy = scope.allocate("patches of the step", DType.FP32, patches.shape());
        int rows = Math.toIntExact(patches.shape().rows());
        int cols = Math.toIntExact(patches.shape().cols());
        backend.neural().copyBlock(scope, patches, copy, BlockCopy.whole(rows, cols));
        return copy;
    }

    @Override
    public void backward(StepScope scope, Tensor patches, Tensor ids, Tensor gradLogits) {
        Tensor gradient;
        try (Tensor gradNormed = head.backward(scope, gradLogits, norm::recompute);
                Tensor gradMean = norm.backward(scope, gradNormed)) {
            gradient = backend.neural().meanRowsBackward(scope, gradMean, tokens);
        }
        try (gradient) {
            for (Block block : blocks.reversed()) {
                block.backward(scope, gradient);
            }
            positions.backward(scope, ids, gradient);
            // its result is the gradient of the images, which nobody needs
            patch.backward(scope, gradient, _ -> patches.share()).close();
        }
    }

    @Override
    public void close() {
        patch.close();
        blocks.forEach(Block::close);
        norm.close();
        head.close();
        parameters.forEach(Parameter::close);
    }
}
