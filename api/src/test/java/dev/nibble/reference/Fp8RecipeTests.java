package dev.nibble.reference;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.gemm.Epilogue;
import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Product;
import dev.nibble.host.HostOperand;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.Granularity;
import dev.nibble.quant.OperandSpec;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.ScaleRule;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Role;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;
import java.util.zip.CRC32;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Checksums of codes and scales that were made apart from this code, from a generator that anyone can repeat. */
class Fp8RecipeTests {
    private static final int ROWS = 256;
    private static final int COLS = 1024;

    /** Sums of four steps of a linear congruential generator: nearly normal, bounded. */
    private static float[] generate(int seed, int count) {
        int s = seed;
        float[] x = new float[count];
        for (int i = 0; i < count; i++) {
            int sum = 0;
            for (int j = 0; j < 4; j++) {
                s = s * 1664525 + 1013904223;
                sum += s >>> 16;
            }
            x[i] = (float) (sum - 131070) / 37837f;
        }
        return x;
    }

    /** {@return data set 1: plain; 2: one large column; 3: rows and columns of very different size} */
    private static float[] data(int number) {
        float[] x = generate(12345, ROWS * COLS); // [ROWS, COLS]
        for (int row = 0; row < ROWS; row++) {
            for (int col = 0; col < COLS; col++) {
                int i = row * COLS + col;
                if (number == 2 && col == 7) {
                    x[i] *= 100f;
                } else if (number == 3) {
                    x[i] = x[i] * (float) (1 + col / 100) * Math.scalb(1f, -((7 * row) % 29));
                }
            }
        }
        return x;
    }

    private static String crc(float[] values) {
        ByteBuffer bytes = ByteBuffer.allocate(4 * values.length).order(ByteOrder.LITTLE_ENDIAN);
        for (float value : values) {
            bytes.putFloat(value);
        }
        return crc(bytes.array());
    }

    private static String crc(byte[] bytes) {
        CRC32 crc = new CRC32();
        crc.update(bytes);
        return "%08X".formatted(crc.getValue());
    }

    private static PlaneSpec plane(DType format, Granularity granularity, boolean powerOfTwo) {
        return PlaneSpec.value(format, granularity, new ScaleRule.TopOverAmax(powerOfTwo), Rounding.NEAREST_EVEN);
    }

    private static QuantizeSpec columns(PlaneSpec plane) {
        return new QuantizeSpec(Role.INPUT, List.of(new OperandSpec(Contraction.COLUMNS, List.of(plane))));
    }

    @ParameterizedTest
    @CsvSource({"1, 1CA78C8D, 0x1.acbaa8p1", "2, 645F1F3E, 0x1.debb82p7", "3, 544553B4, 0x1.f6640ap4"})
    void dataIsTheGoldenData(int number, String crc, String amax) {
        float[] x = data(number);
        assertEquals(crc, crc(x));
        assertEquals(Float.parseFloat(amax), Data.amax(x));
    }

    @ParameterizedTest
    @CsvSource({
        "E4M3, tensor, false, 1, F77A7883, C892217C",
        "E4M3, tensor, false, 2, 5BE034E1, A799FECD",
        "E4M3, tensor, false, 3, 92EBA526, F8576E5A",
        "E4M3, tensor, true, 1, 4EB9399A, 0E2BA39B",
        "E4M3, tensor, true, 2, 49FD68EB, ACA16A6A",
        "E4M3, tensor, true, 3, EABEBA15, E025C2B7",
        "E5M2, tensor, false, 1, FF50CEE5, 6A18E88D",
        "E5M2, tensor, false, 2, 93D42839, 9B77A29F",
        "E5M2, tensor, false, 3, ADC1A207, 5DB063B2",
        "E4M3, row, true, 1, 4EB9399A, 17C6AE64",
        "E4M3, row, true, 2, 3415F3E3, 844692AF",
        "E4M3, row, true, 3, 43D67C55, 1D1B7280",
        "E4M3, row, false, 1, 9D72BF13, 2DEE0D5A",
        "E4M3, row, false, 2, 00B4A0C3, 6E9BC990",
        "E4M3, row, false, 3, ED72BE99, 4222BA65",
        "E4M3, 1, true, 1, 4EB9399A, 1065413D",
        "E4M3, 1, true, 2, 6EF8A77F, 975F543D",
        "E4M3, 1, true, 3, EE3B71F4, ECDB95DE",
        "E4M3, 1, false, 1, 20FE9446, D174D1D4",
        "E4M3, 1, false, 2, F7B13920, BF4A7463",
        "E4M3, 1, false, 3, 8B94E2F2, 9ED4485E",
        "E4M3, 128, true, 1, 4EB9399A, 58146C24",
        "E4M3, 128, true, 2, 1BDF8533, 4AC83C9B",
        "E4M3, 128, true, 3, 66333C5A, 4B026C48",
        "E4M3, 128, false, 1, 49A9E971, A5313E2B",
        "E4M3, 128, false, 2, 82F28CBE, AA7E6262",
        "E4M3, 128, false, 3, A69D050B, A4639D52"
    })
    void recipeHasItsChecksums(
            DType format, String group, boolean powerOfTwo, int number, String codes, String scales) {
        Granularity granularity = switch (group) {
            case "tensor" -> new Granularity.PerTensor();
            case "row" -> new Granularity.PerRow();
            default -> new Granularity.PerBlock(Integer.parseInt(group), 128);
        };
        try (Session session = new Session()) {
            HostOperand operand = Session.operand(
                    session.quantize(columns(plane(format, granularity, powerOfTwo)), data(number), ROWS, COLS),
                    Contraction.COLUMNS);
            assertEquals(codes, crc(Session.codes(operand, 0)));
            // The golden scales lie [rowGroups][kGroups].
            int kGroups = (int) granularity.kGroups(COLS);
            float[] stored = Session.scales(operand, 0); // [kGroups][rowGroups]
            assertEquals(scales, crc(Data.transpose(stored, kGroups, stored.length / kGroups)));
        }
    }

    @ParameterizedTest
    @CsvSource({
        "E4M3, 1, E737E9D4",
        "E4M3, 2, 49FD68EB",
        "E4M3, 3, E1D6D790",
        "E5M2, 1, 437D7458",
        "E5M2, 2, F2C6E3DA",
        "E5M2, 3, 2F83A69B"
    })
    void unscaledCodesHaveTheirChecksums(DType format, int number, String codes) {
        try (Session session = new Session()) {
            HostOperand operand = Session.operand(
                    session.quantize(columns(PlaneSpec.unscaled(format)), data(number), ROWS, COLS),
                    Contraction.COLUMNS);
            assertEquals(codes, crc(Session.codes(operand, 0)));
            assertEquals(0, Session.scales(operand, 0).length);
        }
    }

    @Test
    void productHasItsGoldenError() {
        int rows = 64;
        float[] a = generate(12345, rows * COLS); // [64, 1024]
        float[] b = generate(54321, rows * COLS); // [64, 1024]
        QuantizeSpec spec = columns(plane(DType.E4M3, new Granularity.PerTensor(), false));
        try (Session session = new Session()) {
            HostOperand left = Session.operand(session.quantize(spec, a, rows, COLS), Contraction.COLUMNS);
            HostOperand right = Session.operand(session.quantize(spec, b, rows, COLS), Contraction.COLUMNS);
            float[] d = session.multiply(GemmSpec.of(Product.OUTPUT, Epilogue.STORE), left, right);
            double error = 0;
            double norm = 0;
            for (int row = 0; row < rows; row++) {
                for (int col = 0; col < rows; col++) {
                    double exact = 0;
                    for (int k = 0; k < COLS; k++) {
                        exact += (double) a[row * COLS + k] * b[col * COLS + k];
                    }
                    error += Math.pow(d[row * rows + col] - exact, 2);
                    norm += exact * exact;
                }
            }
            // The golden figure has six digits; FP32 sums add at most about 6e-7 of the norm to it.
            assertEquals(0.037195, Math.sqrt(error / norm), 5e-7 + 1e-6);
            // Worst case of the sum: 128 roundings in a chain, 8 of segments, 1 of f, times sum|ab| < 1024 · 3.36².
            assertEquals(-51.770923152, d[0], (128 + 8 + 1) * 0x1p-24 * COLS * 3.36 * 3.36);
        }
    }

    @Test
    void smallTensorsOfDegenerateValuesHaveFiniteCodes() {
        float[][] tensors = {
            {0, 0, 0},
            {-0f, -0f, -0f},
            {Float.MIN_VALUE, Float.MIN_VALUE, -Float.MIN_VALUE},
            {Float.MAX_VALUE, -Float.MAX_VALUE, 0}
        };
        for (float[] x : tensors) {
            try (Session session = new Session()) {
                HostOperand operand = Session.operand(
                        session.quantize(
                                columns(plane(DType.E4M3, new Granularity.PerTensor(), false)), x, 1, x.length),
                        Contraction.COLUMNS);
                float[] back = session.dequantize(operand);
                for (int i = 0; i < x.length; i++) {
                    // A tiny tensor has multiplier FLT_MAX and underflows to 0; otherwise ±amax is a code.
                    assertEquals(x[i], back[i], Math.abs(x[i]) * 0x1p-23f + Float.MIN_VALUE);
                }
                assertTrue(Float.isFinite(Session.scales(operand, 0)[0]));
            }
        }
    }

    @Test
    void infinityAndNanGiveScaleOneAndAreNoted() {
        try (Session session = new Session()) {
            float[] x = {1, Float.NaN, Float.NEGATIVE_INFINITY};
            HostOperand operand = Session.operand(
                    session.quantize(columns(plane(DType.E4M3, new Granularity.PerTensor(), false)), x, 1, 3),
                    Contraction.COLUMNS);
            assertEquals(1f, Session.scales(operand, 0)[0]);
            byte[] codes = Session.codes(operand, 0);
            assertEquals((byte) 0x38, codes[0]);
            assertEquals((byte) 0x7F, codes[1]);
            assertEquals((byte) 0xFE, codes[2]);
            assertEquals(1, session.takeNonFinite().size());
        }
    }
}
