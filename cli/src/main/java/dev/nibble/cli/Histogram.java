package dev.nibble.cli;

import com.fasterxml.jackson.databind.node.ArrayNode;
import dev.nibble.tensor.DType;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * How often the codes of a plane occur: integers in 15 equal ranges, 8-bit floats by the power of two of their magnitude.
 *
 * @param bins in ascending order
 */
record Histogram(List<Bin> bins) {
    private static final int INTEGER_BINS = 15; // of 17 codes each: 255 = 15 · 17
    private static final int INTEGER_WIDTH = 17;
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
    static Histogram of(DType format, byte[] codes) {
        return switch (format.family()) {
            case INTEGER -> ofIntegers(codes);
            case FP8 -> ofFloats(format, codes);
            case FLOAT, INDEX -> new Histogram(List.of());
        };
    }

    private static Histogram ofIntegers(byte[] codes) {
        long[] counts = new long[INTEGER_BINS]; // [bins]
        for (byte code : codes) {
            counts[Math.max(0, code + 127) / INTEGER_WIDTH]++;
        }
        List<Bin> bins = new ArrayList<>();
        for (int i = 0; i < INTEGER_BINS; i++) {
            int from = i * INTEGER_WIDTH - 127;
            bins.add(new Bin(from, from + INTEGER_WIDTH - 1, counts[i]));
        }
        return new Histogram(bins);
    }

    private static Histogram ofFloats(DType format, byte[] codes) {
        long zeros = 0;
        int lowest = -16; // of E5M2's subnormals
        long[] counts = new long[32]; // [binades], from 2^lowest
        for (byte code : codes) {
            double size = Math.abs(Codes.value(format, code));
            if (size == 0) {
                zeros++;
            } else if (Double.isFinite(size)) {
                counts[Math.getExponent(size) - lowest]++;
            }
        }
        List<Bin> bins = new ArrayList<>();
        bins.add(new Bin(0, 0, zeros));
        int first = 0;
        while (first < counts.length - 1 && counts[first] == 0) {
            first++;
        }
        int last = Math.getExponent(format.top()) - lowest;
        for (int i = first; i <= last; i++) {
            bins.add(new Bin(
                    Math.scalb(1.0, i + lowest), Math.min(Math.scalb(2.0, i + lowest), format.top()), counts[i]));
        }
        return new Histogram(bins);
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
