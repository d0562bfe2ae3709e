package dev.nibble.quant.fp8;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.host.HostQuantized;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.Statistic;
import dev.nibble.tensor.Role;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What each overflow policy makes of a value. The first step of delayed scaling multiplies by 1, so x itself is encoded. */
class OverflowTests {
    private static final List<String> POLICIES = List.of("saturate", "clamp", "paper", "infinity");
    private static final float NAN = Float.NaN;
    private static final float INFINITY = Float.POSITIVE_INFINITY;

    /** One line of the golden file: an FP32, and its codes or -1. */
    private record Line(float value, int[] codes) {
        static Line parse(String text) {
            String[] fields = text.split(" ", -1);
            int[] codes = new int[4]; // [E4M3 saturated, not; E5M2 saturated, not]
            for (int i = 0; i < 4; i++) {
                codes[i] = fields[i + 1].equals("--") ? -1 : Integer.parseInt(fields[i + 1], 16);
            }
            return new Line(Float.intBitsToFloat(Integer.parseUnsignedInt(fields[0], 16)), codes);
        }
    }

    private static List<Line> golden() {
        try (InputStream in = Objects.requireNonNull(OverflowTests.class.getResourceAsStream("golden-codes.txt"));
                BufferedReader reader = new BufferedReader(new InputStreamReader(in, StandardCharsets.US_ASCII))) {
            return reader.lines()
                    .filter(l -> !l.startsWith("#"))
                    .map(Line::parse)
                    .toList();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static byte[] codes(String overflow, Role role, float... x) {
        try (Step step = new Step(Map.of("scaling", "delayed", "overflow", overflow))) {
            return step.codes(role, x, 1, x.length);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"saturate", "clamp", "paper", "infinity"})
    void goldenValuesHaveGoldenCodes(String overflow) {
        List<Line> lines = golden();
        assertEquals(68, lines.size());
        float[] x = new float[lines.size()]; // [1, lines]
        for (int i = 0; i < x.length; i++) {
            x[i] = lines.get(i).value();
        }
        byte[][] codes = {codes(overflow, Role.INPUT, x), codes(overflow, Role.GRAD_OUTPUT, x)}; // [format, lines]
        for (int i = 0; i < x.length; i++) {
            boolean passes = overflow.equals("infinity") || (overflow.equals("paper") && Float.isInfinite(x[i]));
            for (int format = 0; format < 2; format++) {
                int expected = lines.get(i).codes()[2 * format + (passes ? 1 : 0)];
                if (expected >= 0) {
                    assertEquals((byte) expected, codes[format][i], "format " + format + ", value " + x[i]);
                }
            }
        }
    }

    /** Finite overflow, infinity, NaN: the columns of the table of policies. */
    @ParameterizedTest
    @CsvSource({
        "saturate, 7E FE 7E FE 7F, 7B FB 7B FB 7F",
        "clamp, 7E FE 7E FE 7F, 7B FB 7B FB 7F",
        "paper, 7E FE 7F FF 7F, 7B FB 7C FC 7F",
        "infinity, 7F FF 7F FF 7F, 7C FC 7C FC 7F"
    })
    void policyDecidesAboutFiniteAndInfiniteValues(String overflow, String e4m3, String e5m2) {
        float[] x = {1e6f, -1e6f, INFINITY, -INFINITY, NAN};
        assertArrayEquals(bytes(e4m3), codes(overflow, Role.INPUT, x));
        assertArrayEquals(bytes(e4m3), codes(overflow, Role.WEIGHT, x));
        assertArrayEquals(bytes(e5m2), codes(overflow, Role.GRAD_OUTPUT, x));
    }

    private static byte[] bytes(String hex) {
        String[] fields = hex.split(" ", -1);
        byte[] bytes = new byte[fields.length]; // [fields]
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] = (byte) Integer.parseInt(fields[i], 16);
        }
        return bytes;
    }

    @ParameterizedTest
    @CsvSource({
        "saturate, INPUT, 452A7AE4, 5F1B19EC",
        "clamp, INPUT, 452A7AE4, 5F1B19EC",
        "infinity, INPUT, 3A170622, 1B1CDB40",
        "saturate, GRAD_OUTPUT, 62C73E5E, BCD08540",
        "clamp, GRAD_OUTPUT, 62C73E5E, BCD08540",
        "infinity, GRAD_OUTPUT, 5AF1EDEF, 25A88B7A"
    })
    void allBf16AndFp16HaveTheirChecksums(String overflow, Role role, String bf16, String fp16) {
        assertEquals(bf16, Golden.crc(codes(overflow, role, allBf16())));
        float[] halves = new float[65536]; // [1, bits]
        for (int i = 0; i < halves.length; i++) {
            halves[i] = Float.float16ToFloat((short) i);
        }
        assertEquals(fp16, Golden.crc(codes(overflow, role, halves)));
    }

    private static float[] allBf16() {
        float[] x = new float[65536]; // [1, bits]
        for (int i = 0; i < x.length; i++) {
            x[i] = Float.intBitsToFloat(i << 16);
        }
        return x;
    }

    @ParameterizedTest
    @CsvSource({"INPUT", "GRAD_OUTPUT"})
    void paperSaturatesFiniteValuesAndPassesInfinityOn(Role role) {
        float[] x = allBf16(); // [1, bits]
        byte[] saturated = codes("saturate", role, x);
        byte[] unsaturated = codes("infinity", role, x);
        byte[] paper = codes("paper", role, x);
        int different = 0;
        for (int i = 0; i < x.length; i++) {
            assertEquals((Float.isInfinite(x[i]) ? unsaturated : saturated)[i], paper[i], "value " + x[i]);
            different += saturated[i] == unsaturated[i] ? 0 : 1;
        }
        assertTrue(different > 1000, "the policies must differ somewhere, but did " + different + " times");
    }

    /** By its own amax a finite value never overflows, so that only infinity tells the policies apart. */
    @Test
    void policiesAgreeOnFiniteTensorsUnderCurrentScaling() {
        float[] x = Golden.generate(3, 129); // [1, 129]
        x[5] = 1e30f;
        for (String scaling : List.of("tensor", "row", "1x128", "128x128")) {
            String[] crcs = new String[POLICIES.size()]; // [policy]
            for (int i = 0; i < crcs.length; i++) {
                try (Step step = new Step(Map.of("scaling", scaling, "overflow", POLICIES.get(i)))) {
                    crcs[i] = Golden.crc(step.codes(Role.INPUT, x, 1, 129));
                }
                assertEquals(crcs[0], crcs[i], scaling + " " + POLICIES.get(i));
            }
        }
    }

    @Test
    void infinityIsSeenInTheAmaxWhateverTheCodesSay() {
        for (String overflow : POLICIES) {
            try (Step step = new Step(Map.of("overflow", overflow))) {
                HostQuantized quantized = step.quantize(Role.GRAD_OUTPUT, new float[] {1, INFINITY, 2}, 1, 3);
                assertEquals(INFINITY, Step.statistic(quantized, Statistic.AMAX));
                byte expected = (byte) (overflow.equals("paper") || overflow.equals("infinity") ? 0x7C : 0x7B);
                assertEquals(expected, Step.codes(quantized.operand(Contraction.COLUMNS))[1], overflow);
            }
        }
    }
}
