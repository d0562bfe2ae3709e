package dev.nibble.models.encoder;

import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.Site;
import java.util.ArrayList;
import java.util.List;

/**
 * Sizes of an {@link Encoder}, and the names and ordinals of its linear layers.
 *
 * @param vocabulary token ids that there are
 * @param positions longest sequence, tokens
 * @param types segments that a token may belong to
 * @param width features of the residual stream
 * @param heads attention heads
 * @param hidden features between the linear layers of a feed-forward layer
 * @param layers blocks
 * @param classes classes that there are
 */
public record EncoderShape(
        int vocabulary, int positions, int types, int width, int heads, int hidden, int layers, int classes) {
    /** Name of the layer that makes logits. */
    public static final String HEAD = "head";

    private static final int NARROW = 384; // width of the small encoders that have twelve heads
    private static final int NARROW_HEADS = 12;
    private static final int HEAD_SIZE = 64; // of all others
    private static final int HEAD_ORDINAL = 0;
    private static final int FIRST_BLOCK_ORDINAL = 1;
    private static final int LINEARS = 4; // of a block
    private static final int MOST_LAYERS = 1024;
    private static final int MOST = 1 << 20; // of every other size

    /** Checks the sizes. */
    public EncoderShape {
        List<String> problems = new ArrayList<>();
        require(problems, "vocabulary", vocabulary, MOST);
        require(problems, "positions", positions, MOST);
        require(problems, "types", types, MOST);
        require(problems, "width", width, MOST);
        require(problems, "heads", heads, MOST);
        require(problems, "hidden", hidden, MOST);
        require(problems, "layers", layers, MOST_LAYERS);
        require(problems, "classes", classes, MOST);
        if (problems.isEmpty() && width % (2L * heads) != 0) {
            problems.add("width is %d, but must be a multiple of 2 x heads = %d, so that each head has an even size"
                    .formatted(width, 2L * heads));
        }
        if (!problems.isEmpty()) {
            throw new IllegalArgumentException("model: " + String.join("; ", problems));
        }
    }

    private static void require(List<String> problems, String name, int value, int most) {
        if (value < 1 || value > most) {
            problems.add(name + " is " + value + ", but must be in 1.." + most);
        }
    }

    /** {@return attention heads that encoders of a width usually have: 12 of 384 features, else heads of 64 features} */
    public static int usualHeads(int width) {
        return width == NARROW ? NARROW_HEADS : Math.max(1, width / HEAD_SIZE);
    }

    /** {@return the linear layers: those of the blocks, the head} */
    public List<LinearLayer> linears() {
        List<LinearLayer> linears = new ArrayList<>();
        for (int block = 0; block < layers; block++) {
            linears.addAll(linears(block));
        }
        linears.add(head());
        return linears;
    }

    static String prefix(int block) {
        return "blocks." + block + ".";
    }

    /** {@return the linear layers of a block: attn.qkv, attn.out, mlp.up, mlp.down} */
    List<LinearLayer> linears(int block) {
        int ordinal = FIRST_BLOCK_ORDINAL + LINEARS * block;
        String prefix = prefix(block);
        return List.of(
                new LinearLayer(new Site(prefix + "attn.qkv", ordinal), width, 3L * width),
                new LinearLayer(new Site(prefix + "attn.out", ordinal + 1), width, width),
                new LinearLayer(new Site(prefix + "mlp.up", ordinal + 2), width, hidden),
                new LinearLayer(new Site(prefix + "mlp.down", ordinal + 3), hidden, width));
    }

    LinearLayer head() {
        return new LinearLayer(new Site(HEAD, HEAD_ORDINAL), width, classes);
    }

    /** {@return where the first values of tables draw: after the last linear layer} */
    int tableOrdinal() {
        return FIRST_BLOCK_ORDINAL + LINEARS * layers;
    }

    /** {@return trained numbers} */
    public long parameters() {
        long tables = ((long) vocabulary + positions + types) * width;
        long block = 4L * width * width + 2L * width * hidden + 9L * width + hidden; // matrices, biases, two norms
        return tables + 2L * width + layers * block + (width + 1L) * classes;
    }

    /** {@return the model in one line} */
    public String summary() {
        return "BERT-style encoder, vocabulary %d, %d layers, width %d, %d heads, GELU hidden %d, %d classes, %d parameters"
                .formatted(vocabulary, layers, width, heads, hidden, classes, parameters());
    }
}
