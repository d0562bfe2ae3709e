package dev.nibble.cli;

import java.util.List;

/** Text that becomes part of an HTML page. */
final class Html {
    private Html() {}

    /** {@return the text with everything escaped that has a meaning in HTML, in an element or an attribute} */
    static String escape(String text) {
        return text.replace("&", "&amp;")
                .replace("<", "&lt;")
                .replace(">", "&gt;")
                .replace("\"", "&quot;")
                .replace("'", "&#39;");
    }

    /** {@return a header row} */
    static String headerRow(List<String> cells) {
        return row("th", cells);
    }

    /** {@return a row of a table} */
    static String row(List<String> cells) {
        return row("td", cells);
    }

    private static String row(String element, List<String> cells) {
        StringBuilder html = new StringBuilder("<tr>");
        for (String cell : cells) {
            html.append('<').append(element).append('>').append(escape(cell));
            html.append("</").append(element).append('>');
        }
        return html.append("</tr>\n").toString();
    }
}
