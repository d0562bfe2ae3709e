package dev.nibble.cli;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

/**
 * The dictionary at the start of a .npy file: a Python literal with the keys descr, fortran_order and shape, in any
 * order. Anything else is refused, and no message repeats more than a name of it.
 *
 * @param descr element type, as in {@code <f4}
 * @param fortranOrder whether the first extent is contiguous
 * @param shape extents, each at least 0
 */
record NpyHeader(String descr, boolean fortranOrder, List<Long> shape) {
    private static final int LARGEST_RANK = 64; // as in NumPy
    private static final int LONGEST_NAME = 40; // characters of a key or type
    private static final int LONGEST_EXTENT = 19; // digits of the largest long

    /** Copies the list. */
    NpyHeader {
        shape = List.copyOf(shape);
    }

    /**
     * Reads the dictionary.
     *
     * @throws IllegalArgumentException saying what the file has or lacks
     */
    static NpyHeader parse(String text) {
        requirePrintable(text);
        return new Parser(text).header();
    }

    /** Even where a header may be UTF-8, only names of fields can be other than ASCII, and an array has no fields. */
    private static void requirePrintable(String text) {
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if ((c < ' ' && c != '\t' && c != '\n' && c != '\r') || c > '~') {
                throw new IllegalArgumentException(
                        "has a damaged header: byte %d is 0x%02x, but printable ASCII is expected"
                                .formatted(i, (int) c));
            }
        }
    }

    /** A parser with one character of look-ahead. */
    private static final class Parser {
        private final String text;
        private int at;

        Parser(String text) {
            this.text = text;
        }

        NpyHeader header() {
            Map<String, Object> entries = new HashMap<>();
            expect('{');
            while (!accept('}')) {
                String key = string();
                expect(':');
                Object value = value(key);
                if (entries.put(key, value) != null) {
                    throw new IllegalArgumentException("has a damaged header: '" + key + "' stands there twice");
                }
                if (!accept(',')) {
                    expect('}');
                    break;
                }
            }
            skipSpace();
            if (at < text.length()) {
                throw new IllegalArgumentException("has a damaged header: it goes on after the dictionary");
            }
            if (entries.get("descr") instanceof String descr
                    && entries.get("fortran_order") instanceof Boolean fortran
                    && entries.get("shape") instanceof List<?> list) {
                List<Long> shape = list.stream().map(Long.class::cast).toList();
                return new NpyHeader(descr, fortran, shape);
            }
            throw new IllegalArgumentException("has a damaged header: it lacks " + missing(entries));
        }

        private static String missing(Map<String, Object> entries) {
            return String.join(
                    ", ",
                    Stream.of("descr", "fortran_order", "shape")
                            .filter(key -> !entries.containsKey(key))
                            .toList());
        }

        private Object value(String key) {
            return switch (key) {
                case "descr" -> descr();
                case "fortran_order" -> bool();
                case "shape" -> shape();
                default -> throw new IllegalArgumentException("has a damaged header: '" + key + "' is not a key");
            };
        }

        private String descr() {
            skipSpace();
            if (at < text.length() && text.charAt(at) == '[') {
                throw new IllegalArgumentException("holds records (a structured type), but must hold floats");
            }
            return string();
        }

        private boolean bool() {
            skipSpace();
            for (String word : List.of("True", "False")) {
                if (text.startsWith(word, at)) {
                    at += word.length();
                    return word.equals("True");
                }
            }
            throw new IllegalArgumentException("has a damaged header: fortran_order is neither True nor False");
        }

        private List<Long> shape() {
            List<Long> extents = new ArrayList<>();
            expect('(');
            while (!accept(')')) {
                extents.add(extent());
                if (extents.size() > LARGEST_RANK) {
                    throw new IllegalArgumentException("has more than " + LARGEST_RANK + " axes");
                }
                if (!accept(',')) {
                    expect(')');
                    break;
                }
            }
            return extents;
        }

        private long extent() {
            boolean negative = accept('-');
            skipSpace();
            int start = at;
            while (at < text.length() && text.charAt(at) >= '0' && text.charAt(at) <= '9') {
                at++;
            }
            if (at == start) {
                throw new IllegalArgumentException(
                        "has a damaged header: an extent of its shape is expected at character " + at);
            }
            if (at - start > LONGEST_EXTENT) {
                throw new IllegalArgumentException("has an extent of " + (at - start) + " digits, but at most "
                        + LONGEST_EXTENT + " can be a size");
            }
            String digits = text.substring(start, at);
            if (negative) {
                throw new IllegalArgumentException(
                        "has the extent -" + digits + ", but an extent must not be negative");
            }
            try {
                return Long.parseLong(digits);
            } catch (NumberFormatException _) {
                throw new IllegalArgumentException("has the extent " + digits + ", which overflows");
            }
        }

        private String string() {
            skipSpace();
            if (at < text.length() && (text.charAt(at) == '\'' || text.charAt(at) == '"')) {
                int end = text.indexOf(text.charAt(at), at + 1);
                if (end > at + 1 + LONGEST_NAME) {
                    throw new IllegalArgumentException("has a damaged header: a text of " + (end - at - 1)
                            + " characters stands at character " + at);
                }
                if (end > 0) {
                    String value = text.substring(at + 1, end);
                    if (value.chars().anyMatch(c -> c < ' ')) {
                        throw new IllegalArgumentException(
                                "has a damaged header: a text with a tab or line end stands at character " + at);
                    }
                    at = end + 1;
                    return value;
                }
            }
            throw new IllegalArgumentException("has a damaged header: text is expected at character " + at);
        }

        private void expect(char wanted) {
            if (!accept(wanted)) {
                throw new IllegalArgumentException(
                        "has a damaged header: '" + wanted + "' is expected at character " + at);
            }
        }

        private boolean accept(char wanted) {
            skipSpace();
            if (at < text.length() && text.charAt(at) == wanted) {
                at++;
                return true;
            }
            return false;
        }

        private void skipSpace() {
            while (at < text.length() && Character.isWhitespace(text.charAt(at))) {
                at++;
            }
        }
    }
}
