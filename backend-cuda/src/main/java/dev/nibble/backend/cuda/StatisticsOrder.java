package dev.nibble.backend.cuda;

/**
 * What a kernel that writes the statistics vector is told.
 *
 * @param parts what it is made of
 * @param record where operands that are not finite are noted
 * @param place whose operand it is
 * @param out where the vector goes; 0 if none is written
 */
record StatisticsOrder(StatisticsParts parts, long record, int place, long out) {
    /** {@return no order} */
    static StatisticsOrder none(Findings findings) {
        return new StatisticsOrder(StatisticsParts.of(findings.amax(), 1), 0, 0, 0);
    }

    /** {@return the same of other parts} */
    StatisticsOrder with(StatisticsParts others) {
        return new StatisticsOrder(others, record, place, out);
    }

    /** Writes the {@code Statistics} of statistics.cuh and where they go. */
    Struct write(Struct struct) {
        return parts.write(struct, record, place).pointer(out);
    }
}
