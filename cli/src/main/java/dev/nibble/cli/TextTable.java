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
        int columns = rows.isEmpty() ? 0 : rows.getFirst().size();
        int[] widths = new int[columns]; // [columns]
        for (List<String> row : rows) {
            for (int i = 0; i < Math.min(columns, row.size()); i++) {
                widths[i] = Math.max(widths[i], row.get(i).length());
            }
        }
        StringBuilder text = new StringBuilder();
        for (List<String> row : rows) {
            StringBuilder line = new StringBuilder();
            for (int i = 0; i < row.size(); i++) {
                String padding = i < columns ? " ".repeat(widths[i] - row.get(i).length()) : "";
                line.append(i == 0 ? "" : "  ");
                line.append(i < firstRight ? row.get(i) + padding : padding + row.get(i));
            }
            text.append(line.toString().stripTrailing()).append('\n');
        }
        return text.toString();
    }
}
