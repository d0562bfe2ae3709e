package dev.nibble.testkit.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import org.junit.jupiter.api.Test;

/** The checksums were made apart from this code. */
class GoldenDataTests {
    @Test
    void generatorMakesTheKnownNumbers() {
        float[] first = Arrays.copyOf(GoldenData.plain().values(), 4);
        // Seven digits are known, and FP32 lies within 1.5e-8 of them.
        assertArrayEquals(new float[] {-1.3596215f, 0.1155747f, 0.2826863f, 0.3453234f}, first, 0.65e-7f);
    }

    @Test
    void dataSetsHaveTheirChecksums() {
        assertEquals("1CA78C8D", GoldenData.crc(GoldenData.plain().values()));
        assertEquals("645F1F3E", GoldenData.crc(GoldenData.withOutliers().values()));
        assertEquals("544553B4", GoldenData.crc(GoldenData.ofManySizes().values()));
    }

    @Test
    void dataSetsHaveTheirAmax() {
        assertEquals(0x1.acbaa8p1f, GoldenData.plain().amax());
        assertEquals(0x1.debb82p7f, GoldenData.withOutliers().amax());
        assertEquals(0x1.f6640ap4f, GoldenData.ofManySizes().amax());
    }

    @Test
    void checksumOfBytesIsCrc32() {
        assertEquals("CBF43926", GoldenData.crc("123456789".getBytes(StandardCharsets.US_ASCII)));
    }
}
