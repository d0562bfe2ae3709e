package dev.nibble.quant.int8.fallback;

import dev.nibble.quant.Granularity;
import dev.nibble.spi.OptionSpec;
import dev.nibble.spi.OptionValues;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The option {@code block}: which codes share a scale. */
final class BlockOption {
    static final OptionSpec SPEC = OptionSpec.text(
            "block",
            "128",
            List.of("128", "128x256", "64", "32"),
            "block that shares a scale: N for NxN, or ROWSxK with K along the contraction; multiples of 16 up to 1024");

    private static final int STEP = 16; // the smallest tile edge of any integer matrix unit we target
    private static final int LARGEST = 1024; // 1024 · 127² < 2^24: the sum over a block is exact in FP32 too
    private static final Pattern FORM = Pattern.compile("(\\d{1,4})(?:x(\\d{1,4}))?");

    private BlockOption() {}

    static Granularity.PerBlock parse(OptionValues options) {
        String text = options.text(SPEC.name());
        Matcher matcher = FORM.matcher(text);
        if (matcher.matches()) {
            int rows = Integer.parseInt(matcher.group(1));
            int k = matcher.group(2) == null ? rows : Integer.parseInt(matcher.group(2));
            if (fits(rows) && fits(k)) {
                return new Granularity.PerBlock(rows, k);
            }
        }
        throw new IllegalArgumentException(
                "option block is '" + text + "', but must be N or ROWSxK, each a multiple of " + STEP + " from " + STEP
                        + " to " + LARGEST + ", as in 128 or 128x256");
    }

    private static boolean fits(int extent) {
        return extent >= STEP && extent <= LARGEST && extent % STEP == 0;
    }
}
