package dev.nibble.models.layers;

import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.Site;
import java.util.ArrayList;
import java.util.List;

/**
 * Sizes of a {@link Llama}, and the names and ordinals of its linear layers.
 *
 * @param vocabulary tokens that there are
 * @param width features of the residual stream
 * @param heads attention heads
 * @param hidden features of gate and of up
 * @param layers blocks
 * @param tiedHead whether the head uses the embedding's table
 */
public record LlamaShape(int vocabulary, int width, int heads, int hidden, int layers, boolean tiedHead) {
    /** Name of the layer that makes logits. */
    public static final String HEAD = "head";

    static final int EMBEDDING_ORDINAL = 0;
    private static final int HEAD_ORDINAL = 1;
    private static final int FIRST_BLOCK_ORDINAL = 2;
    private static final int LINEARS_OF_A_BLOCK = 4;

    /** Checks the sizes. */
    public LlamaShape {
        List<String> problems = new ArrayList<>();
        require(problems, "vocabulary", vocabulary);
        require(problems, "width", width);
        require(problems, "heads", heads);
        require(problems, "hidden", hidden);
        require(problems, "layers", layers);
        if (problems.isEmpty() && width % (2L * heads) != 0) {
            problems.add("width is %d, but must be a multiple of 2 x heads = %d, so that each head has an even size"
                    .formatted(width, 2L * heads));
        }
        if (!problems.isEmpty()) {
            throw new IllegalArgumentException("model: " + String.join("; ", problems));
        }
    }

    private static void require(List<String> problems, String name, int value) {
        if (value < 1 || value > 1 << 20) {
            problems.add(name + " is " + value + ", but must be in 1..1048576");
        }
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

    /** {@return the linear layers of a block: attn.qkv, attn.out, mlp.gateUp, mlp.down} */
    List<LinearLayer> linears(int block) {
        String prefix = "blocks." + block + ".";
        int ordinal = FIRST_BLOCK_ORDINAL + LINEARS_OF_A_BLOCK * block;
        return List.of(
                new LinearLayer(new Site(prefix + "attn.qkv", ordinal), width, 3L * width),
                new LinearLayer(new Site(prefix + "attn.out", ordinal + 1), width, width),
                new LinearLayer(new Site(prefix + "mlp.gateUp", ordinal + 2), width, 2L * hidden),
                new LinearLayer(new Site(prefix + "mlp.down", ordinal + 3), hidden, width));
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
