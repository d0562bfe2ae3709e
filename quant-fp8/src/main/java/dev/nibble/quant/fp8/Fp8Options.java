package dev.nibble.quant.fp8;

import dev.nibble.quant.Overflow;
import dev.nibble.quant.Rounding;
import dev.nibble.spi.OptionSpec;
import dev.nibble.spi.OptionValues;
import dev.nibble.tensor.DType;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.stream.Stream;

/** The options of {@code fp8}, and which of them fit together. */
final class Fp8Options {
    private static final String NO_RECIPE = "none";
    private static final String MOST_RECENT = "most_recent";
    private static final int LARGEST_HISTORY = 65536;
    private static final int LARGEST_MARGIN =
            6; // 448 / largest FP32 / 2^6, the smallest multiplier, is a normal number

    /** All options, the contract of the command line first. */
    static final List<OptionSpec> SPECS = List.of(
            OptionSpec.choice(
                    "scaling",
                    Scaling.labels(),
                    "what shares a scale: a tensor (from its own amax, or delayed: from those of earlier steps), a row of"
                            + " each operand, blocks of 1x128 for X and dY and 128x128 for W, or blocks of 128x128"),
            OptionSpec.flag("pow2", false, "whether scales are powers of two"),
            OptionSpec.choice("forward", List.of("e4m3", "e5m2"), "format of input and weight"),
            OptionSpec.choice("backward", List.of("e5m2", "e4m3"), "format of the gradient"),
            OptionSpec.choice(
                    "overflow",
                    lowerCase(Overflow.values()),
                    "what becomes of a value beyond the format: the largest code (saturate; clamp before the cast, which"
                            + " gives the same), that but not for infinity (paper), infinity or NaN (infinity)"),
            new OptionSpec(
                    "eps",
                    OptionSpec.Type.NUMBER,
                    "0",
                    List.of(),
                    "amax below which a scale no longer follows it; not with scaling=delayed"),
            new OptionSpec(
                    "history",
                    OptionSpec.Type.INTEGER,
                    "1024",
                    List.of(),
                    "steps whose amax scaling=delayed remembers"),
            OptionSpec.choice(
                    "amaxAlgo",
                    List.of("max", MOST_RECENT),
                    "which amax scaling=delayed takes: the largest of the history, or the last"),
            new OptionSpec(
                    "margin",
                    OptionSpec.Type.INTEGER,
                    "0",
                    List.of(),
                    "log2 of the headroom that scaling=delayed leaves"),
            OptionSpec.choice("gradRounding", List.of("nearest", "stochastic"), "how the gradient is rounded"),
            OptionSpec.choice(
                    "forwardRounding",
                    List.of("nearest", "stochastic"),
                    "how input and weight are rounded; stochastic for comparison: it adds noise and removes no bias"),
            OptionSpec.choice(
                    "smooth",
                    Arrays.stream(Smoothing.values()).map(Smoothing::label).toList(),
                    "Smooth-SwiGLU (arXiv:2409.12517) in layers named *mlp.down: a factor a channel of the input, taken out"
                            + " of the weight, or a scale a token"),
            OptionSpec.choice(
                    "recipe",
                    Stream.concat(Stream.of(NO_RECIPE), Recipe.labels().stream())
                            .toList(),
                    "all of the above as in torchao's recipe of that name"));

    private Fp8Options() {}

    /**
     * {@return the settings that the options mean}
     *
     * @throws IllegalArgumentException naming all options that do not fit together
     */
    static Fp8Settings parse(OptionValues options) {
        List<String> problems = new ArrayList<>();
        Optional<Recipe> recipe = Arrays.stream(Recipe.values())
                .filter(r -> r.label().equals(options.text("recipe")))
                .findFirst();
        if (recipe.isPresent()) {
            SPECS.stream()
                    .map(OptionSpec::name)
                    .filter(name -> !name.equals("recipe"))
                    .forEach(name -> requireDefault(options, name, "recipe", "none", problems));
        } else {
            addProblems(options, problems);
        }
        if (!problems.isEmpty()) {
            throw new IllegalArgumentException(String.join("; ", problems));
        }
        return recipe.map(Recipe::settings).orElseGet(() -> settings(options));
    }

    private static Fp8Settings settings(OptionValues options) {
        Scaling scaling = Scaling.of(options.text("scaling"));
        boolean powerOfTwo = options.flag("pow2");
        DelayedScaling delayed = new DelayedScaling(
                options.integer("history"),
                options.text("amaxAlgo").equals(MOST_RECENT),
                options.integer("margin"),
                powerOfTwo);
        return new Fp8Settings(
                scaling,
                powerOfTwo,
                DType.valueOf(upperCase(options.text("forward"))),
                DType.valueOf(upperCase(options.text("backward"))),
                Overflow.valueOf(upperCase(options.text("overflow"))),
                (float) options.number("eps"),
                scaling == Scaling.DELAYED ? Optional.of(delayed) : Optional.empty(),
                rounding(options, "gradRounding"),
                rounding(options, "forwardRounding"),
                Smoothing.valueOf(upperCase(options.text("smooth"))),
                false);
    }

    private static Rounding rounding(OptionValues options, String name) {
        return options.text(name).equals("stochastic") ? Rounding.STOCHASTIC : Rounding.NEAREST_EVEN;
    }

    private static void addProblems(OptionValues options, List<String> problems) {
        if (options.text("forward").equals("e5m2") && options.text("backward").equals("e5m2")) {
            // the matrix units that exist multiply e4m3 x e4m3 and e4m3 x e5m2, never e5m2 x e5m2
            problems.add(
                    "options forward and backward are both e5m2, but one must be e4m3; no hardware multiplies e5m2 by"
                            + " e5m2");
        }
        float eps = (float) options.number("eps");
        if (!(eps >= 0 && eps <= Float.MAX_VALUE) || (eps == 0 && options.number("eps") != 0)) {
            problems.add("option eps is " + options.text("eps") + ", but must be 0 or a positive FP32 number");
        }
        requireRange(options, "history", 1, LARGEST_HISTORY, problems);
        requireRange(options, "margin", 0, LARGEST_MARGIN, problems);
        Scaling scaling = Scaling.of(options.text("scaling"));
        if (scaling == Scaling.DELAYED) {
            requireDefault(options, "eps", "scaling", "tensor, row, 1x128 or 128x128", problems);
            if (options.text("amaxAlgo").equals(MOST_RECENT)) {
                requireDefault(options, "history", "amaxAlgo", "max", problems);
            }
        } else {
            for (String name : List.of("history", "amaxAlgo", "margin")) {
                requireDefault(options, name, "scaling", "delayed", problems);
            }
        }
        boolean oneScale = scaling == Scaling.TENSOR || scaling == Scaling.DELAYED;
        if (options.text("smooth").equals(Smoothing.TOKEN.label()) && !oneScale) {
            problems.add("option smooth is token, but scaling is " + scaling.label()
                    + ", which has finer scales already; it needs scaling=tensor or scaling=delayed");
        }
    }

    private static void requireRange(
            OptionValues options, String name, int lowest, int highest, List<String> problems) {
        int value = options.integer(name);
        if (value < lowest || value > highest) {
            problems.add("option " + name + " is " + value + ", but must be in " + lowest + ".." + highest);
        }
    }

    /** An option that would change nothing is refused: whoever gave it expects something. */
    private static void requireDefault(
            OptionValues options, String name, String other, String needed, List<String> problems) {
        String value = options.text(name);
        boolean given = SPECS.stream()
                .anyMatch(
                        spec -> spec.name().equals(name) && !spec.defaultValue().equals(value));
        if (given) {
            problems.add("option " + name + " is " + value + ", but " + other + " is " + options.text(other)
                    + "; it needs " + other + "=" + needed);
        }
    }

    private static List<String> lowerCase(Enum<?>[] values) {
        return Arrays.stream(values).map(v -> v.name().toLowerCase(Locale.ROOT)).toList();
    }

    private static String upperCase(String value) {
        return value.toUpperCase(Locale.ROOT);
    }
}
