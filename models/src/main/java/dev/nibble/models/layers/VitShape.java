package dev.nibble.models.layers;

import dev.nibble.models.data.ImageBatches;
import dev.nibble.spi.Backend;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.Site;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.OptionalInt;
import java.util.function.Function;

/**
 * Sizes of a {@link Vit}, and the names and ordinals of its linear layers.
 *
 * @param patch side of a patch, pixels
 * @param classes classes that there are
 * @param width features of the residual stream
 * @param heads attention heads
 * @param hidden features between the linear layers of a feed-forward layer
 * @param layers blocks
 * @param mlp what the feed-forward layers are
 * @param style what norms and linear layers are
 * @param quantizedSequence tokens of a sequence if the products of attention are quantized; empty for attention in FP32
 */
public record VitShape(
        int patch,
        int classes,
        int width,
        int heads,
        int hidden,
        int layers,
        MlpKind mlp,
        VitStyle style,
        OptionalInt quantizedSequence)
        implements ImageShape {
    /** Name of the layer that makes tokens of patches. */
    public static final String PATCH = "patch";

    /** Name of the layer that makes logits. */
    public static final String HEAD = "head";

    private static final int PATCH_ORDINAL = 0;
    private static final int HEAD_ORDINAL = 1;
    private static final int FIRST_BLOCK_ORDINAL = 2;
    private static final int MAX_PATCH = 1024;
    private static final int MAX_CLASSES = 256; // a label is a byte

    /** Checks the sizes. */
    public VitShape {
        List<String> problems = new ArrayList<>();
        if (patch < 1 || patch > MAX_PATCH) {
            problems.add("patch is " + patch + ", but must be in 1.." + MAX_PATCH);
        }
        if (classes < 1 || classes > MAX_CLASSES) {
            problems.add("classes is " + classes + ", but must be in 1.." + MAX_CLASSES);
        }
        BlockShape.check(problems, width, heads, hidden, layers);
        if (style == VitStyle.DEIT && mlp != MlpKind.GELU) {
            problems.add("style is deit, whose feed-forward layers have GELU, but mlp is "
                    + mlp.name().toLowerCase(Locale.ROOT)
                    + "; set model.mlp=gelu");
        }
        if (!problems.isEmpty()) {
            throw new IllegalArgumentException("model: " + String.join("; ", problems));
        }
    }

    /** Makes sizes of a model without biases, with attention in FP32. */
    public VitShape(int patch, int classes, int width, int heads, int hidden, int layers, MlpKind mlp) {
        this(patch, classes, width, heads, hidden, layers, mlp, VitStyle.RMS, OptionalInt.empty());
    }

    /** {@return the linear layers: the patches', those of the blocks, the head} */
    public List<LinearLayer> linears() {
        List<LinearLayer> linears = new ArrayList<>();
        linears.add(patchLayer());
        for (int block = 0; block < layers; block++) {
            linears.addAll(linears(block));
        }
        linears.add(head());
        return linears;
    }

    /** {@return the linear layers, and after each attn.qkv the products of attention, if they are quantized} */
    @Override
    public List<LinearLayer> planned() {
        List<LinearLayer> planned = new ArrayList<>();
        planned.add(patchLayer());
        for (int block = 0; block < layers; block++) {
            List<LinearLayer> linears = linears(block);
            planned.add(linears.getFirst());
            planned.addAll(products(block));
            planned.addAll(linears.subList(1, linears.size()));
        }
        planned.add(head());
        return planned;
    }

    LinearLayer patchLayer() {
        return new LinearLayer(new Site(PATCH, PATCH_ORDINAL), (long) patch * patch, width);
    }

    /** {@return the linear layers of a block: attn.qkv, attn.out, mlp.gateUp or mlp.up, mlp.down} */
    List<LinearLayer> linears(int block) {
        return block().linears(block, FIRST_BLOCK_ORDINAL + BlockShape.LINEARS * block);
    }

    BlockShape block() {
        return new BlockShape(
                width,
                heads,
                hidden,
                SelfAttention.Kind.ENCODER,
                mlp,
                OutlierSpec.NONE,
                quantizedSequence,
                style == VitStyle.DEIT);
    }

    LinearLayer head() {
        return new LinearLayer(new Site(HEAD, HEAD_ORDINAL), width, classes);
    }

    /** {@return the products of attention in a block, as linear layers} */
    List<LinearLayer> products(int block) {
        return block().products(block, productOrdinal());
    }

    private int productOrdinal() {
        return positionOrdinal() + 1;
    }

    /** {@return where the first positions draw: after the last linear layer} */
    int positionOrdinal() {
        return FIRST_BLOCK_ORDINAL + BlockShape.LINEARS * layers;
    }

    @Override
    public long parameters(int tokens) {
        long linear =
                linears().stream().mapToLong(layer -> layer.in() * layer.out()).sum();
        long norms = (2L * layers + 1) * width;
        long biases = block().biased()
                ? norms + linears().stream().mapToLong(LinearLayer::out).sum()
                : 0;
        return linear + (long) tokens * width + norms + biases;
    }

    @Override
    public ImageModel model(
            Backend backend, int rows, int cols, long seed, Function<LinearLayer, LinearQuantizer> quantizers) {
        return new Vit(backend, this, ImageBatches.tokens(rows, cols, patch), seed, quantizers);
    }

    @Override
    public String summary(int tokens) {
        return "%s transformer, %d patches of %dx%d, %d layers, width %d, %d heads, %s hidden %d, %d classes, %d parameters"
                .formatted(
                        style == VitStyle.DEIT ? "DeiT-style vision" : "vision",
                        tokens,
                        patch,
                        patch,
                        layers,
                        width,
                        heads,
                        mlp.label(),
                        hidden,
                        classes,
                        parameters(tokens));
    }
}
