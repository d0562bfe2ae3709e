package dev.nibble.models.layers;

import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.Site;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalInt;

/**
 * Sizes of a {@link Decoder}, and the names and ordinals of its linear layers.
 *
 * @param style what the blocks are made of
 * @param mlp what the feed-forward layers are: SWIGLU in a LLAMA, GELU_TANH (as Radford et al. have it) or GELU in a GPT2
 * @param vocabulary tokens that there are
 * @param width features of the residual stream
 * @param heads attention heads
 * @param hidden features of gate and of up; of a GPT2, between the linear layers of the feed-forward layer
 * @param layers blocks
 * @param tiedHead whether the head uses the embedding's table
 * @param positions longest sequence of a model with learned positions; 0 for one without
 * @param outliers what is put into the inputs of the feed-forward layers' products
 * @param quantizedSequence tokens of a sequence if the products of attention are quantized; empty for attention in FP32
 */
public record DecoderShape(
        DecoderStyle style,
        MlpKind mlp,
        int vocabulary,
        int width,
        int heads,
        int hidden,
        int layers,
        boolean tiedHead,
        int positions,
        OutlierSpec outliers,
        OptionalInt quantizedSequence) {
    /** Name of the layer that makes logits. */
    public static final String HEAD = "head";

    static final int EMBEDDING_ORDINAL = 0;
    private static final int HEAD_ORDINAL = 1;
    private static final int FIRST_BLOCK_ORDINAL = 2;

    /** Checks the sizes. */
    public DecoderShape {
        List<String> problems = new ArrayList<>();
        BlockShape.require(problems, "vocabulary", vocabulary);
        BlockShape.check(problems, width, heads, hidden, layers);
        if (style == DecoderStyle.GPT2) {
            BlockShape.require(problems, "positions", positions);
        } else if (positions != 0) {
            problems.add("positions is " + positions + ", but must be 0: a Llama rotates");
        }
        boolean fits =
                style == DecoderStyle.GPT2 ? mlp == MlpKind.GELU || mlp == MlpKind.GELU_TANH : mlp == MlpKind.SWIGLU;
        if (!fits) {
            problems.add("the feed-forward layers have %s, but those of a %s have %s"
                    .formatted(mlp.label(), style.label(), style == DecoderStyle.GPT2 ? "GELU" : "SwiGLU"));
        }
        if (style == DecoderStyle.GPT2 && !tiedHead) {
            problems.add("the head is untied, but that of a GPT-2 uses the embedding's table");
        }
        if (!problems.isEmpty()) {
            throw new IllegalArgumentException("model: " + String.join("; ", problems));
        }
    }

    /** Makes sizes of a Llama without outliers, with attention in FP32. */
    public DecoderShape(int vocabulary, int width, int heads, int hidden, int layers, boolean tiedHead) {
        this(
                DecoderStyle.LLAMA,
                MlpKind.SWIGLU,
                vocabulary,
                width,
                heads,
                hidden,
                layers,
                tiedHead,
                0,
                OutlierSpec.NONE,
                OptionalInt.empty());
    }

    /** Makes sizes of a GPT-2 with GELU by tanh, without outliers, with attention in FP32. */
    public static DecoderShape gpt2(int vocabulary, int positions, int width, int heads, int hidden, int layers) {
        return new DecoderShape(
                DecoderStyle.GPT2,
                MlpKind.GELU_TANH,
                vocabulary,
                width,
                heads,
                hidden,
                layers,
                true,
                positions,
                OutlierSpec.NONE,
                OptionalInt.empty());
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

    /** {@return the linear layers of a block: attn.qkv, attn.out, mlp.gateUp or mlp.up, mlp.down} */
    List<LinearLayer> linears(int block) {
        return block().linears(block, FIRST_BLOCK_ORDINAL + BlockShape.LINEARS * block);
    }

    /** {@return the products of attention in a block, as linear layers} */
    List<LinearLayer> products(int block) {
        return block().products(block, productOrdinal());
    }

    private int productOrdinal() {
        return positionOrdinal() + (positions == 0 ? 0 : 1);
    }

    /** {@return where the first positions draw: after the last linear layer} */
    int positionOrdinal() {
        return FIRST_BLOCK_ORDINAL + BlockShape.LINEARS * layers;
    }

    BlockShape block() {
        boolean gpt2 = style == DecoderStyle.GPT2;
        return new BlockShape(
                width,
                heads,
                hidden,
                gpt2 ? SelfAttention.Kind.CAUSAL : SelfAttention.Kind.DECODER,
                mlp,
                outliers,
                quantizedSequence,
                gpt2);
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
        long tables = ((long) vocabulary + positions) * width;
        long norms = 2L * layers + 1;
        if (style == DecoderStyle.LLAMA) {
            return linear + tables + norms * width;
        }
        long biases = layers * (5L * width + hidden); // 3 of q, k and v, 1 of attn.out, 1 of mlp.down; mlp.up
        return linear + tables + 2 * norms * width + biases;
    }

    /** {@return the model in one line} */
    public String summary() {
        return "%s-style decoder, %d layers, width %d, %d heads, %s hidden %d, vocabulary %d, %s head, %d parameters"
                .formatted(
                        style.label(),
                        layers,
                        width,
                        heads,
                        mlp.label(),
                        hidden,
                        vocabulary,
                        tiedHead ? "tied" : "untied",
                        parameters());
    }
}
