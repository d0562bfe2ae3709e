package dev.nibble.cli;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * The dictionary at the start of a .npy file: a Python literal with the keys descr, fortran_order and shape, in any
 * order. Anything else is refused.
 *
 * @param descr element type, as in {@code <f4}
 * @param fortranOrder whether the first extent is contiguous
 * @param shape extents, each at least 0
 */
record NpyHeader(String descr, boolean fortranOrder, List<Long> shape) {
    /** Copies the list. */
    NpyHeader {
        shape = List.copyOf(shape);
    }

    /**
     * Reads the dictionary.
     *
     * @throws IllegalArgumentException saying what is wrong with it
     */
    static NpyHeader parse(String text) {
        return new Parser(text).header();
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
                    throw new IllegalArgumentException("its header has '" + key + "' twice");
                }
                if (!accept(',')) {
                    expect('}');
                    break;
                }
            }
            skipSpace();
            if (at < text.length()) {
                throw new IllegalArgumentException("its header goes on after the dictionary");
            }
            if (entries.get("descr") instanceof String descr
                    && entries.get("fortran_order") instanceof Boolean fortran
                    && entries.get("shape") instanceof List<?> list) {
                List<Long> shape = list.stream().map(Long.class::cast).toList();
                return new NpyHeader(descr, fortran, shape);
            }
            throw new IllegalArgumentException("its header lacks descr, fortran_order or shape");
        }

        private Object value(String key) {
            return switch (key) {
                case "descr" -> descr();
                case "fortran_order" -> bool();
                case "shape" -> shape();
                default -> throw new IllegalArgumentException("its header has an unknown key '" + key + "'");
            };
        }

        private String descr() {
            skipSpace();
            if (at < text.length() && text.charAt(at) == '[') {
                throw new IllegalArgumentException("it holds records (a structured type)");
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
            throw new IllegalArgumentException("its header's fortran_order is neither True nor False");
        }

        private List<Long> shape() {
            List<Long> extents = new ArrayList<>();
            expect('(');
            while (!accept(')')) {
                extents.add(extent());
                if (!accept(',')) {
                    expect(')');
                    break;
                }
            }
            return extents;
        }

        private long extent() {
            skipSpace();
            int start = at;
            while (at < text.length()
                    && (Character.isDigit(text.charAt(at)) || (at == start && text.charAt(at) == '-'))) {
                at++;
            }
            String digits = text.substring(start, at);
            if (digits.startsWith("-")) {
                throw new IllegalArgumentException("its shape has the negative extent " + digits);
            }
            try {
                return Long.parseLong(digits);
            } catch (NumberFormatException _) {
                throw new IllegalArgumentException("its shape has the extent '" + digits + "', which is not a size");
            }
        }

        private String string() {
            skipSpace();
            if (at < text.length() && (text.charAt(at) == '\'' || text.charAt(at) == '"')) {
                int end = text.indexOf(text.charAt(at), at + 1);
                if (end > 0) {
                    String value = text.substring(at + 1, end);
                    at = end + 1;
                    return value;
                }
            }
            throw new IllegalArgumentException("its header is damaged: text is expected at character " + at);
        }

        private void expect(char wanted) {
            if (!accept(wanted)) {
                throw new IllegalArgumentException(
                        "its header is damaged: '" + wanted + "' is expected at character " + at);
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
