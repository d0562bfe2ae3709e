package dev.nibble.cli;

import com.fasterxml.jackson.databind.node.ArrayNode;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.tensor.DType;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * How often the codes of a plane occur. Integers: each code, or 15 equal ranges if there are more than 32. Floats and powers
 * of two: by the power of two of their magnitude.
 *
 * @param bins in ascending order
 * @param magnitudes whether the bins are of magnitudes
 */
record Histogram(List<Bin> bins, boolean magnitudes) {
    private static final int SINGLE_CODES = 32; // at most, that have a bin each
    private static final int RANGES = 15; // of 17 codes each for INT8: 255 = 15 · 17
    private static final int LOWEST = -16; // exponent of the smallest subnormal of E5M2
    private static final int BINADES = 32; // from LOWEST
    private static final int BAR = 40;

    /**
     * A range of codes.
     *
     * @param from its first value, at scale 1
     * @param to its last value, at scale 1
     * @param count codes in it
     */
    record Bin(double from, double to, long count) {}

    /** Copies the list. */
    Histogram {
        bins = List.copyOf(bins);
    }

    /** {@return the histogram of a plane; empty if its format has no codes} */
    static Histogram of(PlaneSpec plane, byte[] codes) {
        return switch (plane.format()) {
            case INT8, INT4, UINT4 -> ofIntegers(plane, codes);
            case E4M3, E5M2, E4M0, E3M0 -> ofMagnitudes(plane, codes);
            case FP32, BF16, FP16, INT32 -> new Histogram(List.of(), false);
        };
    }

    private static Histogram ofIntegers(PlaneSpec plane, byte[] codes) {
        int low = (int) plane.scaleRule().bottom(plane.format());
        int high = (int) plane.scaleRule().top(plane.format());
        for (byte code : codes) {
            low = Math.min(low, code); // the lower of two digits reaches -8
            high = Math.max(high, code);
        }
        int span = high - low + 1;
        int width = span <= SINGLE_CODES ? 1 : Math.ceilDiv(span, RANGES);
        long[] counts = new long[Math.ceilDiv(span, width)]; // [bins]
        for (byte code : codes) {
            counts[(code - low) / width]++;
        }
        List<Bin> bins = new ArrayList<>();
        for (int i = 0; i < counts.length; i++) {
            int from = low + i * width;
            bins.add(new Bin(from, Math.min(from + width - 1, high), counts[i]));
        }
        return new Histogram(bins, false);
    }

    private static Histogram ofMagnitudes(PlaneSpec plane, byte[] codes) {
        DType format = plane.format();
        long zeros = 0;
        long[] counts = new long[BINADES]; // [binades], from 2^LOWEST
        for (byte code : codes) {
            double size = Math.abs(Codes.value(format, code));
            if (size == 0) {
                zeros++;
            } else if (Double.isFinite(size)) {
                counts[Math.getExponent(size) - LOWEST]++;
            }
        }
        List<Bin> bins = new ArrayList<>();
        bins.add(new Bin(0, 0, zeros));
        int first = 0;
        while (first < counts.length - 1 && counts[first] == 0) {
            first++;
        }
        double top = plane.scaleRule().top(format);
        boolean powers = format == DType.E3M0 || format == DType.E4M0;
        for (int i = first; i <= Math.getExponent(top) - LOWEST; i++) {
            double power = Math.scalb(1.0, i + LOWEST);
            bins.add(new Bin(power, powers ? power : Math.min(2 * power, top), counts[i]));
        }
        return new Histogram(bins, true);
    }

    /** {@return one line a bin, with a bar} */
    String text() {
        long largest = Math.max(1, bins.stream().mapToLong(Bin::count).max().orElse(1));
        long all = Math.max(1, bins.stream().mapToLong(Bin::count).sum());
        StringBuilder text = new StringBuilder();
        for (Bin bin : bins) {
            String range = bin.from() == bin.to() ? edge(bin.from()) : edge(bin.from()) + " .. " + edge(bin.to());
            // a bin that is not empty shows at least one mark
            int length = bin.count() == 0 ? 0 : (int) Math.max(1, BAR * bin.count() / largest);
            text.append(String.format(
                            Locale.ROOT, "  %18s %7.2f %%  %s", range, 100.0 * bin.count() / all, "#".repeat(length))
                    .stripTrailing());
            text.append('\n');
        }
        return text.toString();
    }

    private static String edge(double value) {
        return value == Math.rint(value)
                ? String.format(Locale.ROOT, "%.0f", value)
                : String.format(Locale.ROOT, "%.2g", value);
    }

    /** {@return the bins as JSON} */
    ArrayNode json() {
        ArrayNode array = Json.array();
        for (Bin bin : bins) {
            array.addObject().put("from", bin.from()).put("to", bin.to()).put("count", bin.count());
        }
        return array;
    }
}
