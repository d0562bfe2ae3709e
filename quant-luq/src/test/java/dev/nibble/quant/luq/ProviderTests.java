package dev.nibble.quant.luq;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.OptionSpec;
import dev.nibble.spi.Plugins;
import dev.nibble.spi.QuantizerProvider;
import dev.nibble.spi.Spi;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class ProviderTests {
    private static LuqSettings settings(Map<String, String> options) {
        return ((LuqLinear) Layer.quantizer(options, false)).settings();
    }

    private static String message(Map<String, String> options) {
        return assertThrows(IllegalArgumentException.class, () -> Layer.quantizer(options, false))
                .getMessage();
    }

    @Test
    void isFoundByNameWithTheDocumentedDefaults() {
        QuantizerProvider provider = Plugins.quantizers().get("luq");
        assertEquals("luq", provider.name());
        assertEquals(Spi.VERSION, provider.spiVersion());
        assertEquals(LuqProvider.class, provider.getClass());
        Map<String, String> expected = Map.of(
                "exponent", "6",
                "samplesGradWeight", "1",
                "samplesGradInput", "1",
                "hindsight", "off",
                "powerOfTwo", "false",
                "gradQuant", "luq",
                "intMode", "strict4",
                "fineTuneInput", "fp32");
        assertEquals(
                expected,
                provider.options().stream().collect(Collectors.toMap(OptionSpec::name, OptionSpec::defaultValue)));
    }

    @Test
    void optionsReachTheSettings() {
        LuqSettings defaults =
                new LuqSettings(6, 1, 1, Optional.empty(), false, GradientMode.LUQ, IntegerMode.STRICT4, false);
        assertEquals(defaults, settings(Map.of()));
        Map<String, String> given = Map.of(
                "exponent", "7",
                "samplesGradWeight", "16",
                "samplesGradInput", "2",
                "hindsight", "0.9",
                "powerOfTwo", "true",
                "gradQuant", "log-sr",
                "intMode", "ref",
                "fineTuneInput", "quantized");
        assertEquals(
                new LuqSettings(7, 16, 2, Optional.of(0.9f), true, GradientMode.LOG_SR, IntegerMode.REF, true),
                settings(given));
    }

    @Test
    void everyChoiceOfTheOptionsIsAccepted() {
        for (OptionSpec option : new LuqProvider().options()) {
            if (option.type() == OptionSpec.Type.CHOICE) {
                for (String value : option.values()) {
                    LinearQuantizer quantizer = Layer.quantizer(Map.of(option.name(), value), false);
                    assertEquals(LuqLinear.class, quantizer.getClass(), option.name() + "=" + value);
                }
            }
        }
    }

    @Test
    void theLayerTellsWhetherItsInputMayBeNegative() {
        for (boolean nonNegative : new boolean[] {true, false}) {
            assertEquals(nonNegative, ((LuqLinear) Layer.quantizer(Map.of(), nonNegative)).nonNegativeInput());
        }
    }

    @ParameterizedTest
    @CsvSource({"0, 0", "0.0, 0", "0.5, 0.5", "0.999, 0.999", "1e-3, 0.001"})
    void hindsightIsAShareBelowOne(String text, float eta) {
        assertEquals(Optional.of(eta), settings(Map.of("hindsight", text)).hindsight());
    }

    @ParameterizedTest
    @ValueSource(strings = {"on", "", "1", "1.0", "-0.1", "NaN", "Infinity", "0,9", "true"})
    void otherHindsightIsRejected(String text) {
        assertEquals(
                "option hindsight is '" + text
                        + "', but must be off, or the share of the running maximum that is kept, from 0 to below 1",
                message(Map.of("hindsight", text)));
    }

    @ParameterizedTest
    @ValueSource(strings = {"0", "17", "-1", "1000000"})
    void samplesOutsideTheAddressAreRejected(String samples) {
        for (String option : List.of("samplesGradWeight", "samplesGradInput")) {
            assertEquals(
                    "option " + option + " is " + samples + ", but must be in 1..16", message(Map.of(option, samples)));
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"rdnp", "fp4-flush", "none"})
    void samplesOfARoundingWithoutChanceAreRejected(String gradQuant) {
        assertEquals(
                "option samplesGradWeight is 2, but with gradQuant=" + gradQuant
                        + " must be 1: all samples would be equal",
                message(Map.of("gradQuant", gradQuant, "samplesGradWeight", "2")));
    }

    @ParameterizedTest
    @ValueSource(strings = {"int4-sr", "none"})
    void optionsOfPowersOfTwoNeedPowersOfTwoAndAllProblemsAreToldAtOnce(String gradQuant) {
        assertEquals(
                "option hindsight is 0.5, but with gradQuant=" + gradQuant
                        + " must be off: no maximum of powers of two is kept; option powerOfTwo is true, but with gradQuant="
                        + gradQuant + " must be false: its codes are no powers of two",
                message(Map.of("gradQuant", gradQuant, "hindsight", "0.5", "powerOfTwo", "true")));
    }

    @Test
    void valuesThatAreNoChoiceAreRejectedByName() {
        assertEquals(
                "quantizer luq: option exponent is '5', but must be one of [4, 6, 7, 8]",
                message(Map.of("exponent", "5")));
        assertEquals(
                "quantizer luq: option intMode is 'strict', but must be one of [strict4, ref, none]",
                message(Map.of("intMode", "strict")));
        assertEquals(
                "quantizer luq: option gradQuant is 'fp4', but must be one of [luq, rdnp, fp4-flush, int4-sr, log-sr,"
                        + " none]",
                message(Map.of("gradQuant", "fp4")));
        assertEquals(
                "quantizer luq: 'samples' is not an option; known: exponent, samplesGradWeight, samplesGradInput,"
                        + " hindsight, powerOfTwo, gradQuant, intMode, fineTuneInput",
                message(Map.of("samples", "2")));
    }
}
