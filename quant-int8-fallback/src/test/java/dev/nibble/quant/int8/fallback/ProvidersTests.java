package dev.nibble.quant.int8.fallback;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.nibble.quant.Criterion;
import dev.nibble.quant.Granularity;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.TensorCodec;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearPlan;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.OptionSpec;
import dev.nibble.spi.OptionValues;
import dev.nibble.spi.PlanRequest;
import dev.nibble.spi.Plugins;
import dev.nibble.spi.QuantizerProvider;
import dev.nibble.spi.Site;
import dev.nibble.spi.Spi;
import dev.nibble.tensor.Role;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class ProvidersTests {
    private static QuantizerProvider provider(String name) {
        return Plugins.quantizers().get(name);
    }

    private static Map<String, String> defaults(String name) {
        return provider(name).options().stream().collect(Collectors.toMap(OptionSpec::name, OptionSpec::defaultValue));
    }

    private static String message(String name, Map<String, String> options) {
        return assertThrows(IllegalArgumentException.class, () -> Step.quantizer(name, options))
                .getMessage();
    }

    @Test
    void threeQuantizersAreFoundByName() {
        for (String name : List.of("int8-row", "int8-block", "int8-fallback")) {
            assertEquals(name, provider(name).name());
            assertEquals(Spi.VERSION, provider(name).spiVersion());
            assertEquals(
                    "dev.nibble.quant.int8.fallback", provider(name).getClass().getPackageName());
        }
    }

    @Test
    void optionsHaveTheDocumentedDefaults() {
        assertEquals(Map.of("contextBits", "32", "forwardRounding", "nearest"), defaults("int8-row"));
        assertEquals(Map.of("block", "128", "contextBits", "32", "forwardRounding", "nearest"), defaults("int8-block"));
        Map<String, String> expected = Map.of(
                "block", "128",
                "criterion", "absmax",
                "threshold", "delayed",
                "fallbackLayers", "all",
                "residualInGradWeight", "false",
                "contextBits", "10",
                "rateMin", "0.1",
                "rateMax", "0.3",
                "alpha", "1.3",
                "flipDamping", "true");
        assertEquals(expected, defaults("int8-fallback"));
    }

    @Test
    void defaultsAreAccepted() {
        FallbackSettings settings = ((FallbackLinear) Step.quantizer("int8-fallback", Map.of())).settings();
        FallbackSettings expected = new FallbackSettings(
                new Granularity.PerBlock(128, 128),
                Criterion.ABSMAX,
                FallbackSettings.ThresholdMode.DELAYED,
                false,
                false,
                Optional.of(new TensorCodec(10)),
                0.1f,
                0.3f,
                1.3f,
                true);
        assertEquals(expected, settings);
    }

    @ParameterizedTest
    @CsvSource({"128, 128, 128", "128x256, 128, 256", "32x32, 32, 32", "16, 16, 16", "1024x16, 1024, 16"})
    void blockIsOneExtentOrTwo(String block, int rows, int k) {
        Granularity.PerBlock expected = new Granularity.PerBlock(rows, k);
        Map<String, String> options = Map.of("block", block);
        assertEquals(new Int8Linear(expected, Optional.empty()), Step.quantizer("int8-block", options));
        FallbackLinear fallback = (FallbackLinear) Step.quantizer("int8-fallback", options);
        assertEquals(expected, fallback.settings().block());
    }

    @ParameterizedTest
    @ValueSource(strings = {"int8-row", "int8-block"})
    void forwardRoundingIsThatOfInputAndWeightAlone(String name) {
        Int8Linear nearest = (Int8Linear) Step.quantizer(name, Map.of());
        Int8Linear stochastic = (Int8Linear) Step.quantizer(name, Map.of("forwardRounding", "stochastic"));
        assertEquals(Rounding.NEAREST_EVEN, nearest.forward());
        assertEquals(new Int8Linear(nearest.granularity(), nearest.context(), Rounding.STOCHASTIC), stochastic);
        LinearPlan ofNearest = nearest.plan(new PlanRequest(128, true));
        LinearPlan ofStochastic = stochastic.plan(new PlanRequest(128, true));
        List<PlaneSpec> codes = List.of(Int8Linear.plane(nearest.granularity(), Rounding.STOCHASTIC));
        assertEquals(QuantizeSpec.both(Role.INPUT, codes), ofStochastic.input());
        assertEquals(QuantizeSpec.both(Role.WEIGHT, codes), ofStochastic.weight());
        assertEquals(ofNearest.gradOutput(), ofStochastic.gradOutput());
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "0",
                "8",
                "130",
                "2048",
                "128x",
                "x128",
                "abc",
                "",
                "-128",
                "128x130",
                "128x2048",
                "128x0",
                "128 x 128",
                "128x128x128",
                "99999999999999999999"
            })
    void otherBlocksAreRejected(String block) {
        String expected = "option block is '" + block
                + "', but must be N or ROWSxK, each a multiple of 16 from 16 to 1024, as in 128 or 128x256";
        assertEquals(expected, message("int8-block", Map.of("block", block)));
        assertEquals(expected, message("int8-fallback", Map.of("block", block)));
    }

    @ParameterizedTest
    @CsvSource({"0.3, 0.3", "0.4, 0.3", "-0.1, 0.3", "0.1, 1.5"})
    void windowThatHoldsNoRateIsRejected(String rateMin, String rateMax) {
        assertEquals(
                "options rateMin and rateMax are " + rateMin + " and " + rateMax
                        + ", but need 0 <= rateMin < rateMax <= 1",
                message("int8-fallback", Map.of("rateMin", rateMin, "rateMax", rateMax)));
    }

    @ParameterizedTest
    @ValueSource(strings = {"1.0", "0.5", "-1.3", "0.0"})
    void alphaOfOneOrLessIsRejected(String alpha) {
        assertEquals(
                "option alpha is " + alpha + ", but must be above 1", message("int8-fallback", Map.of("alpha", alpha)));
    }

    @Test
    void valuesOfTheWrongTypeAreRejected() {
        assertEquals(
                "quantizer int8-fallback: option threshold is 'always', but must be one of [delayed, exact, capped, off, all]",
                message("int8-fallback", Map.of("threshold", "always")));
        assertEquals(
                "quantizer int8-fallback: option criterion is 'l2', but must be one of [absmax, l1, l1-rel]",
                message("int8-fallback", Map.of("criterion", "l2")));
        assertEquals(
                "quantizer int8-fallback: option contextBits is '11', but must be one of [8, 10, 12, 16, 32]",
                message("int8-fallback", Map.of("contextBits", "11")));
        assertEquals(
                "quantizer int8-fallback: option alpha is 'NaN', but must be a number",
                message("int8-fallback", Map.of("alpha", "NaN")));
    }

    @ParameterizedTest
    @ValueSource(strings = {"int8-row", "int8-block", "int8-fallback"})
    void contextHasTheBitsThatAreAskedFor(String name) {
        for (int bits : new int[] {8, 10, 12, 16}) {
            Optional<TensorCodec> context = Step.quantizer(name, Map.of("contextBits", String.valueOf(bits)))
                    .context();
            assertEquals(Optional.of(new TensorCodec(bits)), context);
        }
        assertEquals(
                Optional.empty(),
                Step.quantizer(name, Map.of("contextBits", "32")).context());
    }

    @ParameterizedTest
    @CsvSource({
        "blocks.3.mlp.down, true",
        "mlp.down, true",
        "blocks.3.mlp.gateUp, false",
        "blocks.3.attn.out, false",
        "head, false",
        "blocks.3.smlp.down, false"
    })
    void downAloneFallsBackWhereItIsAskedFor(String layer, boolean falls) {
        LinearQuantizer quantizer = Step.quantizer(
                "int8-fallback",
                Map.of("fallbackLayers", "down", "contextBits", "12"),
                new LinearLayer(new Site(layer, 3), 704, 256));
        LinearQuantizer plain = new Int8Linear(new Granularity.PerBlock(128, 128), Optional.of(new TensorCodec(12)));
        assertEquals(falls, quantizer instanceof FallbackLinear);
        assertEquals(!falls, quantizer.equals(plain), "the same as int8-block, with the same context");
    }

    @Test
    void unknownOptionIsRejectedWithTheNearest() {
        assertEquals(
                "quantizer int8-block: 'blok' is not an option; known: block, contextBits, forwardRounding. Did you mean 'block'?",
                message("int8-block", Map.of("blok", "64")));
        assertEquals(
                "quantizer int8-row: 'block' is not an option; known: contextBits, forwardRounding",
                message("int8-row", Map.of("block", "64")));
    }

    @Test
    void allProblemsAreToldAtOnce() {
        Map<String, String> options = Map.of("alfa", "2", "flipDamping", "yes");
        OptionSpec flipDamping = provider("int8-fallback").options().getLast();
        assertEquals("flipDamping", flipDamping.name());
        String names = provider("int8-fallback").options().stream()
                .map(OptionSpec::name)
                .collect(Collectors.joining(", "));
        IllegalArgumentException e = assertThrows(
                IllegalArgumentException.class,
                () -> OptionValues.of("int8-fallback", provider("int8-fallback").options(), options));
        assertEquals(
                "quantizer int8-fallback: option flipDamping is 'yes', but must be one of [true, false]; 'alfa' is not an"
                        + " option; known: " + names + ". Did you mean 'alpha'?",
                e.getMessage());
    }
}
