package dev.nibble.cli;

import com.fasterxml.jackson.databind.node.ObjectNode;

/**
 * A line of the table.
 *
 * @param operation what was timed
 * @param format how it computes
 * @param shape sizes
 * @param threads of the candidate
 * @param pair what was measured
 * @param baseline what it is compared with
 * @param remark more about it, or empty
 */
record BenchRow(
        String operation, String format, String shape, int threads, BenchPair pair, String baseline, String remark) {
    /** {@return the row with another remark} */
    BenchRow with(String other) {
        return new BenchRow(operation, format, shape, threads, pair, baseline, other);
    }

    /** {@return the heads of {@link #cells}} */
    static String[] heads() {
        return new String[] {"operation", "format", "shape", "threads", "ms", "baseline", "ratio", "spread", ""};
    }

    /** {@return the row for people} */
    String[] cells() {
        return new String[] {
            operation,
            format,
            shape,
            String.valueOf(threads),
            Figures.significant(pair.medianNanos() / 1e6),
            baseline,
            Figures.fixed(pair.ratio(), 2),
            Figures.fixed(pair.lowest(), 2) + " - " + Figures.fixed(pair.highest(), 2),
            remark
        };
    }

    /** {@return the row for scripts} */
    ObjectNode json() {
        ObjectNode row = Json.object();
        row.put("operation", operation)
                .put("format", format)
                .put("shape", shape)
                .put("threads", threads);
        Json.put(row, "medianNanos", pair.medianNanos());
        row.set("spread", Json.array());
        Json.add(row.withArray("spread"), pair.lowest());
        Json.add(row.withArray("spread"), pair.highest());
        row.put("baseline", baseline);
        Json.put(row, "ratio", pair.ratio());
        row.put("remark", remark);
        return row;
    }
}
