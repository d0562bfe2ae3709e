package dev.nibble.models.layers;

import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.Site;
import java.util.ArrayList;
import java.util.List;

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
 */
public record VitShape(int patch, int classes, int width, int heads, int hidden, int layers, MlpKind mlp) {
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
        if (!problems.isEmpty()) {
            throw new IllegalArgumentException("model: " + String.join("; ", problems));
        }
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

    LinearLayer patchLayer() {
        return new LinearLayer(new Site(PATCH, PATCH_ORDINAL), (long) patch * patch, width);
    }

    /** {@return the linear layers of a block: attn.qkv, attn.out, mlp.gateUp or mlp.up, mlp.down} */
    List<LinearLayer> linears(int block) {
        return block().linears(block, FIRST_BLOCK_ORDINAL + BlockShape.LINEARS * block);
    }

    BlockShape block() {
        return new BlockShape(width, heads, hidden, SelfAttention.Kind.ENCODER, mlp);
    }

    LinearLayer head() {
        return new LinearLayer(new Site(HEAD, HEAD_ORDINAL), width, classes);
    }

    /** {@return where the first positions draw: after the last linear layer} */
    int positionOrdinal() {
        return FIRST_BLOCK_ORDINAL + BlockShape.LINEARS * layers;
    }

    /**
     * {@return trained numbers}
     *
     * @param tokens patches of an image
     */
    public long parameters(int tokens) {
        long linear =
                linears().stream().mapToLong(layer -> layer.in() * layer.out()).sum();
        return linear + (long) tokens * width + (2L * layers + 1) * width;
    }

    /**
     * {@return the model in one line}
     *
     * @param tokens patches of an image
     */
    public String summary(int tokens) {
        return "vision transformer, %d patches of %dx%d, %d layers, width %d, %d heads, %s hidden %d, %d classes, %d parameters"
                .formatted(
                        tokens,
                        patch,
                        patch,
                        layers,
                        width,
                        heads,
                        mlp == MlpKind.SWIGLU ? "SwiGLU" : "ReLU",
                        hidden,
                        classes,
                        parameters(tokens));
    }
}
