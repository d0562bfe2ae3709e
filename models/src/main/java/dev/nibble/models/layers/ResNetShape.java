package dev.nibble.models.layers;

import dev.nibble.spi.Backend;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.Site;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.function.Function;

/**
 * Sizes of a {@link ResNet}, and the names and ordinals of its convolutions as linear layers.
 *
 * @param width channels of the first stage; each later one has twice as many
 * @param blocks residual blocks of a stage
 * @param kind what a block is
 * @param classes classes that there are
 */
public record ResNetShape(int width, int blocks, Kind kind, int classes) implements ImageShape {
    /** What a residual block is (He et al. 2015, arXiv:1512.03385, figure 5). */
    public enum Kind {
        /** Two 3x3 convolutions. */
        BASIC(1),
        /** A 1x1 convolution, a 3x3 one, and a 1x1 one to four times the channels. */
        BOTTLENECK(4);

        private final int expansion; // of the output's channels

        Kind(int expansion) {
            this.expansion = expansion;
        }
    }

    /** Name of the first convolution. */
    public static final String STEM = "stem";

    /** Name of the layer that makes logits. */
    public static final String HEAD = "head";

    /** Stages; the second and the third halve the sides of their input. */
    static final int STAGES = 3;

    private static final int STEM_ORDINAL = 0;
    private static final int HEAD_ORDINAL = 1;
    private static final int FIRST_BLOCK_ORDINAL = 2;
    private static final int MOST_BLOCKS = 64;
    private static final int MOST_WIDTH = 1 << 12;
    private static final int MOST_CLASSES = 256; // a label is a byte

    /**
     * A convolution.
     *
     * @param layer its linear layer
     * @param channels of its input
     * @param kernel side of the window
     * @param stride of the window
     */
    record Conv(LinearLayer layer, int channels, int kernel, int stride) {
        static Conv of(String name, int ordinal, int channels, int out, int kernel, int stride) {
            boolean rectifiedInput = ordinal != STEM_ORDINAL;
            long patch = (long) kernel * kernel * channels;
            return new Conv(
                    new LinearLayer(new Site(name, ordinal), patch, out, rectifiedInput), channels, kernel, stride);
        }
    }

    /** Checks the sizes. */
    public ResNetShape {
        List<String> problems = new ArrayList<>();
        require(problems, "width", width, MOST_WIDTH);
        require(problems, "blocks", blocks, MOST_BLOCKS);
        require(problems, "classes", classes, MOST_CLASSES);
        if (!problems.isEmpty()) {
            throw new IllegalArgumentException("model: " + String.join("; ", problems));
        }
    }

    private static void require(List<String> problems, String name, int value, int most) {
        if (value < 1 || value > most) {
            problems.add(name + " is " + value + ", but must be in 1.." + most);
        }
    }

    /** {@return 1: each pixel is a row of the input} */
    @Override
    public int patch() {
        return 1;
    }

    Conv stem() {
        return Conv.of(STEM, STEM_ORDINAL, 1, width, 3, 1);
    }

    LinearLayer head() {
        return new LinearLayer(new Site(HEAD, HEAD_ORDINAL), out(STAGES - 1), classes, true);
    }

    private int inner(int stage) {
        return width << stage;
    }

    /** {@return channels that a stage gives} */
    int out(int stage) {
        return inner(stage) * kind.expansion;
    }

    static String prefix(int stage, int block) {
        return "stages." + stage + ".blocks." + block + ".";
    }

    /** {@return the stride of a block: the first of the second and the third stage have 2} */
    static int stride(int stage, int block) {
        return stage > 0 && block == 0 ? 2 : 1;
    }

    /** {@return channels of a block's input} */
    private int in(int stage, int block) {
        if (block > 0) {
            return out(stage);
        }
        return stage == 0 ? width : out(stage - 1);
    }

    private int ordinal(int stage, int block) {
        return FIRST_BLOCK_ORDINAL + (kind == Kind.BASIC ? 3 : 4) * (stage * blocks + block);
    }

    /** {@return the convolutions of a block's branch} */
    List<Conv> branch(int stage, int block) {
        String prefix = prefix(stage, block);
        int at = ordinal(stage, block);
        int inner = inner(stage);
        int in = in(stage, block);
        int stride = stride(stage, block);
        return switch (kind) {
            case BASIC ->
                List.of(
                        Conv.of(prefix + "conv1", at, in, inner, 3, stride),
                        Conv.of(prefix + "conv2", at + 1, inner, inner, 3, 1));
            case BOTTLENECK ->
                List.of(
                        Conv.of(prefix + "conv1", at, in, inner, 1, 1),
                        Conv.of(prefix + "conv2", at + 1, inner, inner, 3, stride),
                        Conv.of(prefix + "conv3", at + 2, inner, out(stage), 1, 1));
        };
    }

    /** {@return the convolution of a block's shortcut, if shapes differ; else nothing} */
    List<Conv> shortcut(int stage, int block) {
        int stride = stride(stage, block);
        int in = in(stage, block);
        if (stride == 1 && in == out(stage)) {
            return List.of();
        }
        int at = ordinal(stage, block) + branch(stage, block).size();
        return List.of(Conv.of(prefix(stage, block) + "shortcut", at, in, out(stage), 1, stride));
    }

    /** {@return all convolutions in the model's order} */
    List<Conv> convolutions() {
        List<Conv> all = new ArrayList<>(List.of(stem()));
        for (int stage = 0; stage < STAGES; stage++) {
            for (int block = 0; block < blocks; block++) {
                all.addAll(branch(stage, block));
                all.addAll(shortcut(stage, block));
            }
        }
        return all;
    }

    @Override
    public List<LinearLayer> planned() {
        List<LinearLayer> layers = new ArrayList<>();
        convolutions().forEach(conv -> layers.add(conv.layer()));
        layers.add(head());
        return layers;
    }

    @Override
    public long parameters(int tokens) {
        long norms = convolutions().stream()
                .mapToLong(conv -> 2 * conv.layer().out())
                .sum();
        return norms
                + planned().stream()
                        .mapToLong(layer -> layer.in() * layer.out())
                        .sum();
    }

    /** {@return layers with a weight on the longest way through the model: what its name counts} */
    private int depth() {
        return 2 + STAGES * blocks * (kind == Kind.BASIC ? 2 : 3);
    }

    @Override
    public String summary(int tokens) {
        return "ResNet-%d, %d stages of %d %s blocks, width %d, %d classes, %d parameters"
                .formatted(
                        depth(),
                        STAGES,
                        blocks,
                        kind.name().toLowerCase(Locale.ROOT),
                        width,
                        classes,
                        parameters(tokens));
    }

    @Override
    public ImageModel model(
            Backend backend, int rows, int cols, long seed, Function<LinearLayer, LinearQuantizer> quantizers) {
        return new ResNet(backend, this, rows, cols, seed, quantizers);
    }
}
