package dev.nibble.quant.int4;

import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.OptionSpec;
import dev.nibble.spi.OptionValues;
import java.util.List;
import java.util.stream.IntStream;

/**
 * The option {@code hadamard}: how many columns of X and W are transformed together. The size must divide the layer's
 * input features, since a block that reached into the next row would mix tokens.
 */
sealed interface HadamardOption {
    /** The name, the default and the examples. */
    OptionSpec SPEC = OptionSpec.text(
            "hadamard",
            "auto",
            List.of("auto", "search", "none", "32"),
            "columns of X and W that are transformed together: a power of two up to 1024; auto: 32, or the largest that"
                    + " divides the layer's input features if 32 does not; search: found in each step of the cold start");

    /** Largest block size. */
    int LARGEST = 1024;

    /** Block size of the paper's experiments. */
    int USUAL = 32;

    /** {@link #USUAL}, or the largest power of two that divides the input features if that does not. */
    record Auto() implements HadamardOption {}

    /** All sizes that divide the input features, the best found by the layer's {@code HadamardSearch}. */
    record Search() implements HadamardOption {}

    /** No transform. */
    record None() implements HadamardOption {}

    /**
     * One size for all layers.
     *
     * @param columns of a block, a power of two
     */
    record Size(int columns) implements HadamardOption {}

    static HadamardOption parse(OptionValues options) {
        String text = options.text(SPEC.name());
        return switch (text) {
            case "auto" -> new Auto();
            case "search" -> new Search();
            case "none" -> new None();
            default -> new Size(size(text));
        };
    }

    private static int size(String text) {
        int size = text.matches("\\d{1,4}") ? Integer.parseInt(text) : 0;
        if (size < 1 || size > LARGEST || Integer.bitCount(size) != 1) {
            throw new IllegalArgumentException("option hadamard is '" + text
                    + "', but must be auto, search, none, or a power of two up to " + LARGEST);
        }
        return size;
    }

    /** {@return log2 of the block size that a layer starts with} */
    default int log2(LinearLayer layer) {
        long largest = Long.lowestOneBit(layer.in()); // that divides the input features
        return Long.numberOfTrailingZeros(
                switch (this) {
                    case Auto _, Search _ -> Math.min(USUAL, largest);
                    case None _ -> 1;
                    case Size size -> requireDivisor(size.columns(), largest, layer);
                });
    }

    private static long requireDivisor(int size, long largest, LinearLayer layer) {
        if (size > largest) {
            throw new IllegalArgumentException(
                    "option hadamard is %d, but must divide the %d input features of layer %s: at most %d fits; use auto"
                            .formatted(size, layer.in(), layer.site().name(), largest));
        }
        return size;
    }

    /** {@return the sizes to search among, ascending; none if there is no search} */
    default List<Integer> candidates(LinearLayer layer) {
        if (!(this instanceof Search)) {
            return List.of();
        }
        int largest = (int) Math.min(LARGEST, Long.lowestOneBit(layer.in()));
        return IntStream.rangeClosed(0, Integer.numberOfTrailingZeros(largest))
                .mapToObj(log2 -> 1 << log2)
                .toList();
    }
}
