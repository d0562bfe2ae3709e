package dev.nibble.models.layers;

import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.Site;
import java.util.List;
import java.util.OptionalInt;

/**
 * Sizes of a {@link Block}.
 *
 * @param width features of the residual stream
 * @param heads attention heads
 * @param hidden features between the linear layers of the feed-forward layer
 * @param attention who sees whom
 * @param mlp what the feed-forward layer is
 * @param outliers what is put into the inputs of the feed-forward layer's products
 * @param quantizedSequence tokens of a sequence if the products of attention are quantized; empty for attention in FP32
 * @param biased whether the linear layers have biases, and norms are {@link LayerNorm}
 */
record BlockShape(
        int width,
        int heads,
        int hidden,
        SelfAttention.Kind attention,
        MlpKind mlp,
        OutlierSpec outliers,
        OptionalInt quantizedSequence,
        boolean biased) {
    /** Linear layers of a block. */
    static final int LINEARS = 4;

    private static final int MOST_LAYERS = 4096;

    /** Products of attention in a block. */
    private static final int PRODUCTS = 2;

    /** Makes sizes of a block without outliers, with attention in FP32. */
    BlockShape(int width, int heads, int hidden, SelfAttention.Kind attention, MlpKind mlp) {
        this(width, heads, hidden, attention, mlp, OutlierSpec.NONE, OptionalInt.empty(), false);
    }

    /** Notes what is wrong with the sizes of blocks. */
    static void check(List<String> problems, int width, int heads, int hidden, int layers) {
        int before = problems.size();
        require(problems, "width", width);
        require(problems, "heads", heads);
        require(problems, "hidden", hidden);
        if (layers < 1 || layers > MOST_LAYERS) {
            problems.add("layers is " + layers + ", but must be in 1.." + MOST_LAYERS);
        }
        if (problems.size() == before && width % (2L * heads) != 0) {
            problems.add("width is %d, but must be a multiple of 2 x heads = %d, so that each head has an even size"
                    .formatted(width, 2L * heads));
        }
    }

    /** Notes a size that is out of range. */
    static void require(List<String> problems, String name, int value) {
        if (value < 1 || value > 1 << 20) {
            problems.add(name + " is " + value + ", but must be in 1..1048576");
        }
    }

    /** {@return the name of a block: what its layers' names begin with} */
    static String prefix(int block) {
        return "blocks." + block + ".";
    }

    /**
     * {@return the linear layers of a block: attn.qkv, attn.out, mlp.gateUp or mlp.up, mlp.down}
     *
     * @param block number of the block
     * @param ordinal ordinal of the first
     */
    List<LinearLayer> linears(int block, int ordinal) {
        String prefix = prefix(block);
        return List.of(
                new LinearLayer(new Site(prefix + "attn.qkv", ordinal), width, 3L * width),
                new LinearLayer(new Site(prefix + "attn.out", ordinal + 1), width, width),
                new LinearLayer(
                        new Site(prefix + "mlp." + mlp.firstLayer(), ordinal + 2),
                        width,
                        (long) mlp.firstOutputs() * hidden),
                new LinearLayer(new Site(prefix + "mlp.down", ordinal + 3), hidden, width, mlp == MlpKind.RELU));
    }

    /**
     * {@return the products of attention as linear layers, if they are quantized: attn.scores, whose weight is k, and attn.mix, whose
     * weight is vᵀ} Each head of each sequence is a pair of factors with draws of its own: pair p has the ordinal here, plus p · stride.
     *
     * @param block number of the block
     * @param ordinal the first that no layer of the model has
     */
    List<LinearLayer> products(int block, int ordinal) {
        if (quantizedSequence.isEmpty()) {
            return List.of();
        }
        int tokens = quantizedSequence.getAsInt();
        int headSize = width / heads;
        int first = ordinal + PRODUCTS * block;
        return List.of(
                new LinearLayer(new Site(prefix(block) + "attn.scores", first), headSize, tokens),
                new LinearLayer(new Site(prefix(block) + "attn.mix", first + 1), tokens, headSize, true));
    }

    /** {@return by how much the ordinals of two pairs differ that follow each other} */
    static int stride(int layers) {
        return PRODUCTS * layers;
    }
}
