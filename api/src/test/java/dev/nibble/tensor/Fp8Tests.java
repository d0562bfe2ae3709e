package dev.nibble.tensor;

import static dev.nibble.tensor.DType.E4M3;
import static dev.nibble.tensor.DType.E5M2;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.zip.CRC32;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Golden codes and whole-domain checksums made with the host conversions of CUDA 13.0. */
class Fp8Tests {
    private static final int NONE = -1;

    /** Bits of an FP32, and its codes: E4M3 saturated, E4M3, E5M2 saturated, E5M2. */
    private static final int[][] GOLDEN = {
        {bits(0f), 0x00, 0x00, 0x00, 0x00},
        {bits(-0f), 0x80, 0x80, 0x80, 0x80},
        {bits(1f), 0x38, 0x38, 0x3C, 0x3C},
        {bits(-1f), 0xB8, 0xB8, 0xBC, 0xBC},
        {bits(1.0625f), 0x38, 0x38, 0x3C, 0x3C},
        {bits(1.125f), 0x39, 0x39, 0x3C, 0x3C},
        {bits(1.1875f), 0x3A, 0x3A, 0x3D, 0x3D},
        {bits(1.3125f), 0x3A, 0x3A, 0x3D, 0x3D},
        {bits(1.375f), 0x3B, 0x3B, 0x3E, 0x3E},
        {bits(1.625f), 0x3D, 0x3D, 0x3E, 0x3E},
        {bits(0.1f), 0x1D, 0x1D, 0x2E, 0x2E},
        {bits(-0.3f), 0xAA, 0xAA, 0xB5, 0xB5},
        {bits((float) Math.PI), 0x45, 0x45, 0x42, 0x42},
        {bits(240f), 0x77, 0x77, 0x5C, 0x5C},
        {bits(248f), 0x78, 0x78, 0x5C, 0x5C},
        {bits(256f), 0x78, 0x78, 0x5C, 0x5C},
        {bits(272f), 0x78, 0x78, 0x5C, 0x5C},
        {bits(416f), 0x7D, 0x7D, 0x5E, 0x5E},
        {bits(432f), 0x7E, 0x7E, 0x5F, 0x5F},
        {bits(440f), 0x7E, 0x7E, 0x5F, 0x5F},
        {bits(447f), 0x7E, 0x7E, 0x5F, 0x5F},
        {bits(448f), 0x7E, 0x7E, 0x5F, 0x5F},
        {bits(449f), 0x7E, 0x7E, 0x5F, 0x5F},
        {bits(463.99f), 0x7E, 0x7E, 0x5F, 0x5F},
        {0x43E80000, 0x7E, 0x7E, 0x5F, 0x5F},
        {0x43E80001, 0x7E, 0x7F, 0x5F, 0x5F},
        {bits(480f), 0x7E, 0x7F, 0x60, 0x60},
        {bits(500f), 0x7E, 0x7F, 0x60, 0x60},
        {bits(57344f), 0x7E, 0x7F, 0x7B, 0x7B},
        {bits(61439f), 0x7E, 0x7F, 0x7B, 0x7B},
        {bits(61440f), 0x7E, 0x7F, 0x7B, 0x7C},
        {bits(65504f), 0x7E, 0x7F, 0x7B, 0x7C},
        {bits(1e30f), 0x7E, 0x7F, 0x7B, 0x7C},
        {0x7F800000, 0x7E, 0x7F, 0x7B, 0x7C},
        {0xFF800000, 0xFE, 0xFF, 0xFB, 0xFC},
        {bits(-464.5f), 0xFE, 0xFF, 0xDF, 0xDF},
        {bits(-61440f), 0xFE, 0xFF, 0xFB, 0xFC},
        {0x7FC00000, 0x7F, 0x7F, 0x7F, 0x7F},
        {0xFFC00000, 0x7F, 0x7F, 0x7F, 0x7F},
        {0x7F800001, 0x7F, 0x7F, 0x7F, 0x7F},
        {0xFF800001, 0x7F, 0x7F, 0x7F, 0x7F},
        {0x7FFFFFFF, 0x7F, 0x7F, 0x7F, 0x7F},
        {bits(0x1p-6f), 0x08, 0x08, 0x24, 0x24},
        {bits(0x1p-7f), 0x04, 0x04, 0x20, 0x20},
        {bits(0x1p-9f), 0x01, 0x01, 0x18, 0x18},
        {bits(0x1p-10f), 0x00, 0x00, 0x14, 0x14},
        {0x3A800001, 0x01, 0x01, 0x14, 0x14},
        {bits(1.5f * 0x1p-10f), 0x01, 0x01, 0x16, 0x16},
        {bits(3 * 0x1p-10f), 0x02, 0x02, 0x1A, 0x1A},
        {bits(5 * 0x1p-10f), 0x02, 0x02, 0x1D, 0x1D},
        {bits(7 * 0x1p-10f), 0x04, 0x04, 0x1F, 0x1F},
        {bits(15 * 0x1p-10f), 0x08, 0x08, 0x24, 0x24},
        {0x3C6FFFFF, 0x07, 0x07, 0x23, 0x23},
        {bits(0x1p-14f), 0x00, 0x00, 0x04, 0x04},
        {bits(0x1p-15f), 0x00, 0x00, 0x02, 0x02},
        {bits(0x1p-16f), 0x00, 0x00, 0x01, 0x01},
        {bits(0x1p-17f), 0x00, 0x00, 0x00, 0x00},
        {0x37000001, 0x00, 0x00, 0x01, 0x01},
        {bits(3 * 0x1p-17f), 0x00, 0x00, 0x02, 0x02},
        {bits(5 * 0x1p-17f), 0x00, 0x00, 0x02, 0x02},
        {bits(7 * 0x1p-17f), 0x00, 0x00, 0x04, 0x04},
        {0x385FFFFF, 0x00, 0x00, 0x03, 0x03},
        {1, 0x00, 0x00, 0x00, 0x00},
        {0x80000001, 0x80, 0x80, 0x80, 0x80},
        // One rounding, not two: by way of BF16 these would be 38, 3A, 7E, 00 (E4M3 without saturation).
        {0x3F880800, 0x39, 0x39, NONE, NONE},
        {0x3F97F800, 0x39, 0x39, NONE, NONE},
        {0x43E80800, 0x7E, 0x7F, NONE, NONE},
        {0x3A800800, 0x01, 0x01, NONE, NONE},
    };

    private static int bits(float value) {
        return Float.floatToRawIntBits(value);
    }

    @Test
    void goldenValuesHaveGoldenCodes() {
        for (int[] row : GOLDEN) {
            float value = Float.intBitsToFloat(row[0]);
            int[] codes = {
                Fp8.encode(E4M3, value) & 0xFF,
                Fp8.encodeUnsaturated(E4M3, value) & 0xFF,
                Fp8.encode(E5M2, value) & 0xFF,
                Fp8.encodeUnsaturated(E5M2, value) & 0xFF
            };
            for (int i = 0; i < 4; i++) {
                if (row[i + 1] != NONE) {
                    assertEquals(row[i + 1], codes[i], "column " + i + " of " + Integer.toHexString(row[0]));
                }
            }
        }
    }

    @ParameterizedTest
    @CsvSource({
        "E4M3, true, 452A7AE4, 5F1B19EC",
        "E4M3, false, 3A170622, 1B1CDB40",
        "E5M2, true, 62C73E5E, BCD08540",
        "E5M2, false, 5AF1EDEF, 25A88B7A"
    })
    void allBf16AndAllFp16(DType format, boolean saturate, String bf16, String fp16) {
        byte[] fromBf16 = new byte[65536]; // [bits]
        byte[] fromFp16 = new byte[65536]; // [bits]
        for (int i = 0; i < 65536; i++) {
            fromBf16[i] = encode(format, saturate, Float.intBitsToFloat(i << 16));
            fromFp16[i] = encode(format, saturate, Float.float16ToFloat((short) i));
        }
        assertEquals(bf16, crc(fromBf16));
        assertEquals(fp16, crc(fromFp16));
    }

    @Tag("slow")
    @ParameterizedTest
    @CsvSource({"E4M3, true, B6DF9B17", "E4M3, false, 16D9E5E4", "E5M2, true, E52C85E3", "E5M2, false, 0A402E47"})
    void allFp32(DType format, boolean saturate, String expected) {
        CRC32 crc = new CRC32();
        byte[] codes = new byte[1 << 20]; // [bits, low 20]
        for (int high = 0; high < 4096; high++) {
            for (int low = 0; low < codes.length; low++) {
                codes[low] = encode(format, saturate, Float.intBitsToFloat(high << 20 | low));
            }
            crc.update(codes);
        }
        assertEquals(expected, "%08X".formatted(crc.getValue()));
    }

    private static byte encode(DType format, boolean saturate, float value) {
        return saturate ? Fp8.encode(format, value) : Fp8.encodeUnsaturated(format, value);
    }

    @ParameterizedTest
    @CsvSource({"E4M3, 2FDEE9AC", "E5M2, 3D83FD11"})
    void decodeTableHasItsChecksum(DType format, String expected) {
        ByteBuffer table = ByteBuffer.allocate(1024).order(ByteOrder.LITTLE_ENDIAN);
        for (float value : Fp8.decodeTable(format)) {
            table.putFloat(value);
        }
        assertEquals(expected, crc(table.array()));
    }

    private static String crc(byte[] bytes) {
        CRC32 crc = new CRC32();
        crc.update(bytes);
        return "%08X".formatted(crc.getValue());
    }

    @ParameterizedTest
    @CsvSource({"E4M3", "E5M2"})
    void everyCodeButNanSurvivesARoundTrip(DType format) {
        int checked = 0;
        for (int code = 0; code < 256; code++) {
            float value = Fp8.decode(format, (byte) code);
            assertEquals(bits(Fp8.decodeTable(format)[code]), bits(value));
            if (!Float.isNaN(value)) {
                assertEquals((byte) code, Fp8.encodeUnsaturated(format, value));
                checked++;
            }
        }
        assertEquals(format == E4M3 ? 254 : 250, checked);
    }

    @ParameterizedTest
    @CsvSource({"E4M3", "E5M2"})
    void largerValueHasNoSmallerCode(DType format) {
        int last = 0;
        for (int high = 0; high < 0x7F80; high++) {
            int code = Fp8.encode(format, Float.intBitsToFloat(high << 16 | 0x1234)) & 0xFF;
            assertTrue(code >= last, "at " + Integer.toHexString(high));
            last = code;
        }
    }

    @Test
    void decodeAnchors() {
        assertEquals(0x1p-9f, Fp8.decode(E4M3, (byte) 0x01));
        assertEquals(448f, Fp8.decode(E4M3, (byte) 0x7E));
        assertEquals(-448f, Fp8.decode(E4M3, (byte) 0xFE));
        assertTrue(Float.isNaN(Fp8.decode(E4M3, (byte) 0xFF)));
        assertEquals(0x1p-16f, Fp8.decode(E5M2, (byte) 0x01));
        assertEquals(57344f, Fp8.decode(E5M2, (byte) 0x7B));
        assertEquals(Float.NEGATIVE_INFINITY, Fp8.decode(E5M2, (byte) 0xFC));
        assertTrue(Float.isNaN(Fp8.decode(E5M2, (byte) 0x7D)));
    }

    @Test
    void decodeTableIsACopy() {
        Fp8.decodeTable(E4M3)[0x38] = 5;
        assertEquals(1f, Fp8.decode(E4M3, (byte) 0x38));
    }

    @Test
    void otherFormatIsRejected() {
        IllegalArgumentException e = assertThrows(IllegalArgumentException.class, () -> Fp8.encode(DType.INT8, 1));
        assertEquals("int8 is not an 8-bit float, but e4m3 or e5m2 is needed", e.getMessage());
        assertThrows(IllegalArgumentException.class, () -> Fp8.encodeUnsaturated(DType.BF16, 1));
        assertThrows(IllegalArgumentException.class, () -> Fp8.decode(DType.FP32, (byte) 0));
        assertThrows(IllegalArgumentException.class, () -> Fp8.decodeTable(DType.FP16));
    }
}
