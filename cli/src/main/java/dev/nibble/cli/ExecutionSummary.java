package dev.nibble.cli;

import dev.nibble.report.ExecutionRow;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Execution rows that differ only in the number of the block, as one.
 *
 * @param row the row, its layer with {@code *} for block numbers
 * @param layers how many layers it stands for
 */
record ExecutionSummary(ExecutionRow row, int layers) {
    /** {@return the rows, grouped, in the order of their first occurrence} */
    static List<ExecutionSummary> of(List<ExecutionRow> rows) {
        Map<ExecutionRow, Integer> counts = new LinkedHashMap<>();
        for (ExecutionRow row : rows) {
            ExecutionRow pattern = new ExecutionRow(
                    row.layer().replaceAll("\\.\\d+\\.", ".*."),
                    row.product(),
                    row.requestedFormat(),
                    row.storedFormat(),
                    row.kernel(),
                    row.computeType(),
                    row.fromStoredCodes(),
                    row.reason());
            counts.merge(pattern, 1, Integer::sum);
        }
        List<ExecutionSummary> summaries = new ArrayList<>();
        counts.forEach((row, count) -> summaries.add(new ExecutionSummary(row, count)));
        return summaries;
    }
}
