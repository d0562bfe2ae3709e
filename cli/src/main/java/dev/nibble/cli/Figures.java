package dev.nibble.cli;

import java.util.Locale;

/** Numbers for people. */
final class Figures {
    private static final String[] BYTE_UNITS = {"B", "KiB", "MiB", "GiB", "TiB"};

    private Figures() {}

    /** {@return a number with this many decimals, {@code -} if it does not exist} */
    static String fixed(double value, int decimals) {
        if (Double.isNaN(value)) {
            return "-";
        }
        return Double.isInfinite(value)
                ? (value > 0 ? "inf" : "-inf")
                : String.format(Locale.ROOT, "%." + decimals + "f", value);
    }

    /** {@return a difference with its sign; 0 has none, however it came about} */
    static String signed(double value, int decimals) {
        String text = fixed(value, decimals);
        boolean zero = text.matches("-?0\\.?0*");
        return zero ? text.replace("-", "") : (value > 0 ? "+" : "") + text;
    }

    /** {@return a number with four significant digits} */
    static String significant(double value) {
        if (Double.isNaN(value)) {
            return "-";
        }
        double size = Math.abs(value);
        boolean plain = value == 0 || (size >= 1e-3 && size < 1e7);
        return Double.isInfinite(value)
                ? (value > 0 ? "inf" : "-inf")
                : String.format(Locale.ROOT, plain ? "%.4g" : "%.3e", value);
    }

    /** {@return a whole number, digits grouped} */
    static String count(long value) {
        return String.format(Locale.ROOT, "%,d", value);
    }

    /** {@return a number of things, as in {@code 1 step} or {@code 1,200 steps}} */
    static String count(long value, String thing) {
        return count(value) + ' ' + thing + (value == 1 ? "" : "s");
    }

    /** {@return a number of bytes in the largest unit that leaves at least 1} */
    static String bytes(long bytes) {
        double value = bytes;
        int unit = 0;
        while (value >= 1024 && unit < BYTE_UNITS.length - 1) {
            value /= 1024;
            unit++;
        }
        return String.format(Locale.ROOT, unit == 0 ? "%.0f %s" : "%.1f %s", value, BYTE_UNITS[unit]);
    }

    /** {@return a duration as {@code 1:02:03} or {@code 2:03}} */
    static String duration(double seconds) {
        if (!Double.isFinite(seconds)) {
            return "-";
        }
        long whole = Math.round(seconds);
        return whole >= 3600
                ? String.format(Locale.ROOT, "%d:%02d:%02d", whole / 3600, whole / 60 % 60, whole % 60)
                : String.format(Locale.ROOT, "%d:%02d", whole / 60, whole % 60);
    }
}
