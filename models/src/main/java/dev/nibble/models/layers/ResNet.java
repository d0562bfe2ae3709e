package dev.nibble.models.layers;

import dev.nibble.quant.TensorCodec;
import dev.nibble.spi.Backend;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.StepScope;
import dev.nibble.spi.Window;
import dev.nibble.tensor.Tensor;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.function.Function;
import java.util.function.Supplier;

/**
 * A residual network for small images (He et al. 2015, arXiv:1512.03385, section 4.2): a 3x3 convolution, three stages of residual
 * blocks, the second and the third on sides half as long with twice the channels, the mean of all pixels, and a linear layer. Where the
 * shape changes, the shortcut is a 1x1 convolution with batch normalization.
 *
 * <p>First weights are normal with deviation {@code sqrt(2 / in)} (He et al. 2015, arXiv:1502.01852), those of the last layer {@code
 * sqrt(1 / in)}; norms start at weight 1 and bias 0. They depend on the seed alone. Weight decay applies to the matrices, not to norms.
 */
public final class ResNet implements ImageModel {
    private final Backend backend;
    private final List<Parameter> parameters;
    private final ConvolutionUnit stem;
    private final List<ResidualBlock> blocks = new ArrayList<>();
    private final QuantizedLinear head;
    private final SequencedMap<String, Tensor> averages = new LinkedHashMap<>();
    private final int lastPixels; // of the last stage

    /**
     * Makes the model with its first weights.
     *
     * @param backend computes
     * @param shape sizes
     * @param rows of an image, pixels
     * @param cols of an image, pixels
     * @param seed seed of the first weights
     * @param quantizers how each linear layer is computed
     */
    ResNet(
            Backend backend,
            ResNetShape shape,
            int rows,
            int cols,
            long seed,
            Function<LinearLayer, LinearQuantizer> quantizers) {
        this.backend = backend;
        LinearLayer last = shape.head();
        LayerFactory factory = new LayerFactory(
                backend, seed, quantizers, layer -> Math.sqrt((layer.equals(last) ? 1.0 : 2.0) / layer.in()), 1);
        ResNetShape.Conv first = shape.stem();
        stem = unit(
                factory,
                first,
                rows,
                cols,
                true,
                () -> factory.quantizer(first.layer()).context());
        int height = rows;
        int width = cols;
        for (int stage = 0; stage < ResNetShape.STAGES; stage++) {
            for (int block = 0; block < shape.blocks(); block++) {
                blocks.add(block(factory, shape.branch(stage, block), shape.shortcut(stage, block), height, width));
                height = Math.ceilDiv(height, ResNetShape.stride(stage, block));
                width = Math.ceilDiv(width, ResNetShape.stride(stage, block));
            }
        }
        lastPixels = height * width;
        head = factory.linear(last);
        parameters = factory.parameters();
    }

    private ResidualBlock block(
            LayerFactory factory,
            List<ResNetShape.Conv> branch,
            List<ResNetShape.Conv> shortcuts,
            int height,
            int width) {
        Supplier<Optional<TensorCodec>> codec =
                () -> factory.quantizer(branch.getFirst().layer()).context();
        List<ConvolutionUnit> units = new ArrayList<>();
        int rows = height;
        int cols = width;
        for (int i = 0; i < branch.size(); i++) {
            ResNetShape.Conv conv = branch.get(i);
            boolean rectified = i < branch.size() - 1;
            units.add(unit(factory, conv, rows, cols, rectified, codec));
            rows = Math.ceilDiv(rows, conv.stride());
            cols = Math.ceilDiv(cols, conv.stride());
        }
        Optional<ConvolutionUnit> shortcut = shortcuts.stream()
                .map(conv -> unit(factory, conv, height, width, false, codec))
                .findFirst();
        return new ResidualBlock(backend, units, shortcut, codec);
    }

    private ConvolutionUnit unit(
            LayerFactory factory,
            ResNetShape.Conv conv,
            int height,
            int width,
            boolean rectified,
            Supplier<Optional<TensorCodec>> codec) {
        Window window = new Window(height, width, conv.channels(), conv.kernel(), conv.stride(), conv.kernel() / 2);
        String name = conv.layer().site().name();
        Convolution convolution = new Convolution(backend, factory.linear(conv.layer()), window);
        int out = Math.toIntExact(conv.layer().out());
        BatchNorm norm = new BatchNorm(
                backend,
                name + ".norm.moments",
                factory.vector(name + ".norm.weight", out, 1f),
                factory.vector(name + ".norm.bias", out, 0f));
        averages.put(name + ".norm.moments", norm.average());
        return new ConvolutionUnit(backend, convolution, norm, rectified, codec);
    }

    @Override
    public void repeatBlocks() {
        blocks.forEach(ResidualBlock::repeatForward);
    }

    @Override
    public List<Parameter> parameters() {
        return parameters;
    }

    @Override
    public List<QuantizedLayer> linears() {
        List<QuantizedLayer> linears = new ArrayList<>();
        linears.add(stem.convolution().linear());
        for (ResidualBlock block : blocks) {
            block.units().forEach(unit -> linears.add(unit.convolution().linear()));
        }
        linears.add(head);
        return linears;
    }

    @Override
    public SequencedMap<String, Tensor> averages() {
        return averages;
    }

    @Override
    public Tensor forward(StepScope scope, Tensor patches, Tensor ids) {
        Tensor x = stem.forward(scope, patches);
        for (ResidualBlock block : blocks) {
            try (Tensor input = x) {
                x = block.forward(scope, input);
            }
        }
        try (Tensor last = x;
                Tensor mean = backend.neural().meanRows(scope, last, lastPixels)) {
            return head.forward(scope, mean);
        }
    }

    @Override
    public void backward(StepScope scope, Tensor patches, Tensor ids, Tensor gradLogits) {
        Tensor gradient;
        try (Tensor gradMean = head.backward(scope, gradLogits, this::mean)) {
            gradient = backend.neural().meanRowsBackward(scope, gradMean, lastPixels);
        }
        for (int i = blocks.size() - 1; i >= 0; i--) {
            Optional<Tensor> kept = blocks.get(i).input();
            try (Tensor gradOutput = gradient) {
                gradient = blocks.get(i).backward(scope, gradOutput, i == 0 ? stem::output : source(i - 1, kept));
            } finally {
                kept.ifPresent(Tensor::close);
            }
        }
        try (Tensor gradStem = gradient) {
            // its result is the gradient of the images, which nobody needs
            stem.backward(scope, gradStem, _ -> patches.share()).close();
        }
    }

    /** {@return what makes the output of a block again: from what the block behind it has kept, which is less than repeating the block} */
    private InputSource source(int block, Optional<Tensor> kept) {
        ResidualBlock before = blocks.get(block);
        return kept.<InputSource>map(y -> scope -> before.asKept(scope, y)).orElse(before::output);
    }

    private Tensor mean(StepScope scope) {
        try (Tensor last = blocks.getLast().output(scope)) {
            return backend.neural().meanRows(scope, last, lastPixels);
        }
    }

    @Override
    public void close() {
        stem.close();
        blocks.forEach(ResidualBlock::close);
        head.close();
        parameters.forEach(Parameter::close);
    }
}
