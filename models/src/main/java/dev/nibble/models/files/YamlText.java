package dev.nibble.models.files;

import java.util.Locale;
import java.util.regex.Pattern;

/** Texts as YAML 1.2 writes them. */
public final class YamlText {
    private static final Pattern PLAIN = Pattern.compile("[A-Za-z0-9_/.][A-Za-z0-9_/.+-]*|[+-][0-9.][A-Za-z0-9.+-]*");

    private YamlText() {}

    /** {@return the text as a scalar on one line, in quotes if it needs them; it is read back the same} */
    public static String scalar(String text) {
        return PLAIN.matcher(text).matches() ? text : quoted(text);
    }

    /** {@return the text in double quotes} */
    public static String quoted(String text) {
        StringBuilder out = new StringBuilder("\"");
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (c == '"' || c == '\\') {
                out.append('\\').append(c);
            } else if (c == '\n') {
                out.append("\\n");
            } else if (c == '\t') {
                out.append("\\t");
            } else if (isPrintable(c)) {
                out.append(c);
            } else {
                out.append(String.format(Locale.ROOT, "\\u%04x", (int) c));
            }
        }
        return out.append('"').toString();
    }

    /** A pair of surrogates stands as it is: the reader refuses them as escapes. */
    private static boolean isPrintable(char c) {
        boolean lineBreak = c == '\u0085' || c == '\u2028' || c == '\u2029';
        boolean outside = c < ' ' || (c >= 0x7f && c <= 0x9f) || c == '\ufeff' || c >= 0xfffe;
        return !lineBreak && !outside;
    }

    /** {@return a text for a message: on one line, and not long} */
    static String shown(String text) {
        return JsonTree.line(text);
    }
}
