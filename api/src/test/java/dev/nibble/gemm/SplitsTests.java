package dev.nibble.gemm;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class SplitsTests {
    @Test
    void onlyTheWeightGradientIsSplit() {
        assertEquals(new Splits(1, 1_000_000), Splits.of(Product.OUTPUT, 1, 1, 1_000_000));
        assertEquals(new Splits(1, 1_000_000), Splits.of(Product.GRAD_INPUT, 1, 1, 1_000_000));
    }

    /** The table itself: a change here changes numbers. */
    @ParameterizedTest
    @CsvSource({
        "128, 256, 1, 1, 1",
        "128, 256, 2048, 1, 2048",
        "128, 256, 4095, 1, 4095",
        "128, 256, 4096, 2, 2048",
        "128, 256, 4097, 2, 2304",
        "256, 256, 8192, 4, 2048",
        "768, 256, 8192, 4, 2048",
        "256, 1024, 16384, 8, 2048",
        "4096, 4096, 65536, 1, 65536",
        "1024, 1024, 65536, 4, 16384",
        "1, 1, 1048576, 128, 8192"
    })
    void tableIsFixed(long m, long n, long k, int parts, long length) {
        assertEquals(new Splits(parts, length), Splits.of(Product.GRAD_WEIGHT, m, n, k));
    }

    @Test
    void partsCoverTheContractionWithoutEmptyOnes() {
        for (long k = 1; k < 70_000; k += 97) {
            for (long m : new long[] {1, 129, 1000}) {
                Splits splits = Splits.of(Product.GRAD_WEIGHT, m, 64, k);
                long at = 0;
                for (int part = 0; part < splits.parts(); part++) {
                    assertEquals(at, splits.from(part));
                    assertTrue(splits.to(part, k) > at, splits + " of " + k);
                    at = splits.to(part, k);
                    assertTrue(part == splits.parts() - 1 || at % 256 == 0);
                }
                assertEquals(k, at);
            }
        }
    }
}
