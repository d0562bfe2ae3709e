package dev.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.nibble.quant.Granularity;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.ScaleRule;
import dev.nibble.tensor.DType;
import java.util.List;
import org.junit.jupiter.api.Test;

class FiguresTests {
    @Test
    void numbersReadWell() {
        assertEquals("-", Figures.fixed(Double.NaN, 2));
        assertEquals("inf", Figures.fixed(Double.POSITIVE_INFINITY, 2));
        assertEquals("1.50", Figures.fixed(1.5, 2));
        assertEquals("0.0000", Figures.signed(-1e-9, 4));
        assertEquals("+0.0010", Figures.signed(0.001, 4));
        assertEquals("-0.0010", Figures.signed(-0.001, 4));
        assertEquals("1.235e-05", Figures.significant(1.2346e-5));
        assertEquals("1,234,567", Figures.count(1234567));
        assertEquals("1023 B", Figures.bytes(1023));
        assertEquals("1.5 MiB", Figures.bytes(3 << 19));
        assertEquals("1:01:01", Figures.duration(3661));
        assertEquals("0:05", Figures.duration(4.7));
    }

    @Test
    void numbersThatAreNotFiniteAreNullInJson() {
        ObjectNode json = Json.object();
        Json.put(json, "a", Double.NaN);
        Json.put(json, "b", Double.NEGATIVE_INFINITY);
        Json.put(json, "c", 0.1);
        assertEquals("{\"a\":null,\"b\":null,\"c\":0.1}", Json.scriptText(json));
    }

    @Test
    void tableColumnsAreAligned() {
        String text = new TextTable()
                .row("name", "loss")
                .row("a", "10.5")
                .row("longer", "1", "why")
                .text();
        assertEquals("name    loss\na       10.5\nlonger     1  why\n", text);
    }

    @Test
    void wideTablesAreCutBetweenColumns() {
        TextTable table = new TextTable()
                .row("name", "loss", "gap", "seconds")
                .row("a", "10.5", "-", "1")
                .row("longer", "1", "+2", "30", "why");
        assertEquals("""
                name    loss  gap
                a       10.5    -
                longer     1   +2

                name    seconds
                a             1
                longer       30  why
                """, table.text(18));
        assertEquals(table.text(), table.text(26));
        assertTrue(table.text(1).startsWith("name    loss\n"), "at least two columns");
    }

    private static PlaneSpec plane(DType format) {
        return PlaneSpec.value(format, new Granularity.PerTensor(), new ScaleRule.AmaxOverTop(), Rounding.NEAREST_EVEN);
    }

    @Test
    void integerHistogramHasFifteenEqualBins() {
        byte[] codes = {-127, -111, -110, 0, 8, 9, 127};
        Histogram histogram = Histogram.of(plane(DType.INT8), codes);
        assertEquals(15, histogram.bins().size());
        assertEquals(new Histogram.Bin(-127, -111, 2), histogram.bins().get(0));
        assertEquals(new Histogram.Bin(-110, -94, 1), histogram.bins().get(1));
        assertEquals(new Histogram.Bin(-8, 8, 2), histogram.bins().get(7));
        assertEquals(new Histogram.Bin(111, 127, 1), histogram.bins().get(14));
    }

    @Test
    void floatHistogramHasABinForEachPowerOfTwo() {
        // E4M3: 0, -0, 1 (0 0111 000), -1.875 (1 0111 111), 448 (0 1111 110)
        byte[] codes = {0, (byte) 0x80, 0x38, (byte) 0xBF, 0x7E};
        Histogram histogram = Histogram.of(plane(DType.E4M3), codes);
        assertEquals(new Histogram.Bin(0, 0, 2), histogram.bins().get(0));
        assertEquals(new Histogram.Bin(1, 2, 2), histogram.bins().get(1));
        assertEquals(new Histogram.Bin(256, 448, 1), histogram.bins().getLast());
    }

    @Test
    void fourBitHistogramHasABinForEachCode() {
        Histogram signed = Histogram.of(plane(DType.INT4), new byte[] {-7, 0, 0, 7});
        assertEquals(15, signed.bins().size());
        assertEquals(new Histogram.Bin(-7, -7, 1), signed.bins().getFirst());
        assertEquals(new Histogram.Bin(0, 0, 2), signed.bins().get(7));
        Histogram lowerDigit = Histogram.of(plane(DType.INT4), new byte[] {-8, 7});
        assertEquals(new Histogram.Bin(-8, -8, 1), lowerDigit.bins().getFirst());
        assertEquals(16, lowerDigit.bins().size());
        Histogram unsigned = Histogram.of(plane(DType.UINT4), new byte[] {0, 15, 15});
        assertEquals(16, unsigned.bins().size());
        assertEquals(new Histogram.Bin(15, 15, 2), unsigned.bins().getLast());
    }

    @Test
    void histogramOfPowersHasABinForEachPower() {
        // E3M0: 0, 1 (k = 1), -1, 4 (k = 3), -64 (k = 7)
        Histogram histogram = Histogram.of(plane(DType.E3M0), new byte[] {0, 1, 9, 3, 15});
        assertEquals(
                List.of(
                        new Histogram.Bin(0, 0, 1),
                        new Histogram.Bin(1, 1, 2),
                        new Histogram.Bin(2, 2, 0),
                        new Histogram.Bin(4, 4, 1),
                        new Histogram.Bin(8, 8, 0),
                        new Histogram.Bin(16, 16, 0),
                        new Histogram.Bin(32, 32, 0),
                        new Histogram.Bin(64, 64, 1)),
                histogram.bins());
    }
}
