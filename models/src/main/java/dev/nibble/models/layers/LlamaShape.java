package dev.nibble.models.layers;

import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.Site;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalInt;

/**
 * Sizes of a {@link Llama}, and the names and ordinals of its linear layers.
 *
 * @param vocabulary tokens that there are
 * @param width features of the residual stream
 * @param heads attention heads
 * @param hidden features of gate and of up
 * @param layers blocks
 * @param tiedHead whether the head uses the embedding's table
 * @param outliers what is put into the inputs of the feed-forward layers' products
 * @param quantizedSequence tokens of a sequence if the products of attention are quantized; empty for attention in FP32
 */
public record LlamaShape(
        int vocabulary,
        int width,
        int heads,
        int hidden,
        int layers,
        boolean tiedHead,
        OutlierSpec outliers,
        OptionalInt quantizedSequence) {
    /** Name of the layer that makes logits. */
    public static final String HEAD = "head";

    static final int EMBEDDING_ORDINAL = 0;
    private static final int HEAD_ORDINAL = 1;
    private static final int FIRST_BLOCK_ORDINAL = 2;

    /** Checks the sizes. */
    public LlamaShape {
        List<String> problems = new ArrayList<>();
        BlockShape.require(problems, "vocabulary", vocabulary);
        BlockShape.check(problems, width, heads, hidden, layers);
        if (!problems.isEmpty()) {
            throw new IllegalArgumentException("model: " + String.join("; ", problems));
        }
    }

    /** Makes sizes of a model without outliers, with attention in FP32. */
    public LlamaShape(int vocabulary, int width, int heads, int hidden, int layers, boolean tiedHead) {
        this(vocabulary, width, heads, hidden, layers, tiedHead, OutlierSpec.NONE, OptionalInt.empty());
    }

    /** {@return the linear layers: those of the blocks, then the head} */
    public List<LinearLayer> linears() {
        List<LinearLayer> linears = new ArrayList<>();
        for (int block = 0; block < layers; block++) {
            linears.addAll(linears(block));
        }
        linears.add(head());
        return linears;
    }

    /** {@return all that a quantizer plans: the linear layers, and after each attn.qkv the products of attention, if they are quantized} */
    public List<LinearLayer> planned() {
        List<LinearLayer> planned = new ArrayList<>();
        for (int block = 0; block < layers; block++) {
            List<LinearLayer> linears = linears(block);
            planned.add(linears.getFirst());
            planned.addAll(products(block));
            planned.addAll(linears.subList(1, linears.size()));
        }
        planned.add(head());
        return planned;
    }

    /** {@return the linear layers of a block: attn.qkv, attn.out, mlp.gateUp, mlp.down} */
    List<LinearLayer> linears(int block) {
        return block().linears(block, FIRST_BLOCK_ORDINAL + BlockShape.LINEARS * block);
    }

    /** {@return the products of attention in a block, as linear layers} */
    List<LinearLayer> products(int block) {
        return block().products(block, productOrdinal());
    }

    private int productOrdinal() {
        return FIRST_BLOCK_ORDINAL + BlockShape.LINEARS * layers;
    }

    BlockShape block() {
        return new BlockShape(
                width, heads, hidden, SelfAttention.Kind.DECODER, MlpKind.SWIGLU, outliers, quantizedSequence);
    }

    LinearLayer head() {
        return new LinearLayer(new Site(HEAD, HEAD_ORDINAL), width, vocabulary);
    }

    /** {@return trained numbers} */
    public long parameters() {
        long linear = linears().stream()
                .filter(layer -> !layer.site().name().equals(HEAD) || !tiedHead)
                .mapToLong(layer -> layer.in() * layer.out())
                .sum();
        return linear + (long) vocabulary * width + (2L * layers + 1) * width;
    }

    /** {@return the model in one line} */
    public String summary() {
        return "Llama-style decoder, %d layers, width %d, %d heads, SwiGLU hidden %d, vocabulary %d, %s head, %d parameters"
                .formatted(layers, width, heads, hidden, vocabulary, tiedHead ? "tied" : "untied", parameters());
    }
}
