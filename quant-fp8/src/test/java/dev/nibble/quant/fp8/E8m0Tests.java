package dev.nibble.quant.fp8;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Bytes made with the host conversion of CUDA 13.0. */
class E8m0Tests {
    @ParameterizedTest
    @CsvSource({
        "0x0p0, 00, 00",
        "0x1p-149, 00, 00",
        "0x1p-127, 00, 00",
        "0x1.000004p-127, 01, 01",
        "0x1p-126, 01, 01",
        "0x1p0, 7F, 7F",
        "0x1.000002p0, 80, 80",
        "0x1.8p0, 80, 80",
        "0x1p1, 80, 80",
        "0x1.8p1, 81, 81",
        "0x1p127, FE, FE",
        "0x1.8p127, FE, FF",
        "Infinity, FE, FF",
        "-Infinity, FE, FF",
        "NaN, FF, FF",
        "-0x1p0, 7F, 7F"
    })
    void goldenValuesAreRoundedUp(String value, String saturated, String unsaturated) {
        float x = Float.parseFloat(value);
        assertEquals(Integer.parseInt(saturated, 16), E8m0.roundUp(x));
        assertEquals(Integer.parseInt(unsaturated, 16), E8m0.roundUpUnsaturated(x));
    }

    @Test
    void reciprocalOfTheTopIsRoundedUpOrDown() {
        assertEquals(0x77, E8m0.roundUp(1 / 448f));
        assertEquals(0x76, E8m0.roundDown(1 / 448f));
        assertEquals(0x80, E8m0.roundUp(449 / 448f));
        assertEquals(E8m0.NAN, E8m0.roundDown(Float.POSITIVE_INFINITY));
        assertEquals(E8m0.NAN, E8m0.roundDown(Float.NaN));
        assertEquals(0, E8m0.roundDown(Float.MIN_VALUE));
    }

    @Test
    void everyByteIsAPowerOfTwoWithAnExactReciprocal() {
        for (int b = 0; b < E8m0.NAN; b++) {
            assertEquals(Math.scalb(1.0, b - 127), E8m0.decode(b));
            assertEquals(Math.scalb(1.0, 127 - b), E8m0.reciprocal(b));
            assertEquals(b, E8m0.roundUp(E8m0.decode(b)));
        }
        assertTrue(Float.isNaN(E8m0.decode(E8m0.NAN)));
        assertTrue(Float.isNaN(E8m0.reciprocal(E8m0.NAN)));
    }
}
