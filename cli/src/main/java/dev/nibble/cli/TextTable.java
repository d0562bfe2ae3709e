package dev.nibble.cli;

import java.util.ArrayList;
import java.util.List;

/** Aligned columns: the first to the left, the others to the right unless asked otherwise. */
final class TextTable {
    private final List<List<String>> rows = new ArrayList<>();
    private int firstRight = 1;

    /** Aligns all columns to the left. */
    TextTable allLeft() {
        firstRight = Integer.MAX_VALUE;
        return this;
    }

    /** Adds a row. */
    TextTable row(String... cells) {
        rows.add(List.of(cells));
        return this;
    }

    /** {@return the rows as lines; a row's last cell, if it is beyond the header's columns, is a remark and not aligned} */
    String text() {
        return text(Integer.MAX_VALUE);
    }

    /**
     * {@return the rows as lines that fit a screen} Where the columns do not, the table is cut between two of them, and each
     * part begins with the first column. A remark may be longer.
     *
     * @param screen characters of a line
     */
    String text(int screen) {
        int columns = rows.isEmpty() ? 0 : rows.getFirst().size();
        int[] widths = widths(columns);
        StringBuilder text = new StringBuilder();
        int from = 1;
        do {
            long used = columns == 0 ? 0 : widths[0];
            int to = from;
            while (to < columns && (to == from || used + 2 + widths[to] <= screen)) {
                used += 2 + widths[to];
                to++;
            }
            text.append(from == 1 ? "" : "\n").append(part(widths, from, to));
            from = to;
        } while (from < columns);
        return text.toString();
    }

    private int[] widths(int columns) {
        int[] widths = new int[columns]; // [columns]
        for (List<String> row : rows) {
            for (int i = 0; i < Math.min(columns, row.size()); i++) {
                widths[i] = Math.max(widths[i], row.get(i).length());
            }
        }
        return widths;
    }

    /** {@return the first column and some others; behind the last ones, the remarks} */
    private String part(int[] widths, int from, int to) {
        StringBuilder text = new StringBuilder();
        for (List<String> row : rows) {
            StringBuilder line = new StringBuilder();
            for (int i = 0; i < row.size(); i++) {
                if (i > 0 && (i < from || (i >= to && to < widths.length))) {
                    continue;
                }
                String padding =
                        i < widths.length ? " ".repeat(widths[i] - row.get(i).length()) : "";
                line.append(i == 0 ? "" : "  ");
                line.append(i < firstRight ? row.get(i) + padding : padding + row.get(i));
            }
            text.append(line.toString().stripTrailing()).append('\n');
        }
        return text.toString();
    }
}
