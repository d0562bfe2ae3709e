package dev.nibble.report;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.error.StrictException;
import java.util.List;
import org.junit.jupiter.api.Test;

class ExecutionLogTests {
    private static ExecutionRow row(String layer, String stored, boolean fromStoredCodes) {
        return new ExecutionRow(
                layer, "output", "int8 x int8", stored, "kernel", "fp32", fromStoredCodes, "no int8 units");
    }

    @Test
    void rowsAreDistinctAndInOrder() {
        ExecutionLog log = new ExecutionLog(false);
        log.launched(row("b", "int8 x int8", true));
        log.launched(row("a", "int8 x int8", true));
        log.launched(row("b", "int8 x int8", true));
        assertEquals(
                List.of("b", "a"), log.rows().stream().map(ExecutionRow::layer).toList());
    }

    @Test
    void otherBuffersOrOtherCodesAreADifference() {
        assertFalse(row("a", "int8 x int8", true).differs());
        assertTrue(row("a", "bf16 x bf16", true).differs());
        assertTrue(row("a", "int8 x int8", false).differs());
    }

    @Test
    void strictLogRefusesADifferenceAndKeepsItsRow() {
        ExecutionLog log = new ExecutionLog(true);
        log.launched(row("a", "int8 x int8", true));
        StrictException e = assertThrows(StrictException.class, () -> log.launched(row("a", "bf16 x bf16", true)));
        assertEquals(
                "output of layer a asked for int8 x int8, but ran kernel from bf16 x bf16 (no int8 units)",
                e.getMessage());
        assertEquals(2, log.rows().size());
    }

    @Test
    void lenientLogNotesADifference() {
        ExecutionLog log = new ExecutionLog(false);
        log.launched(row("a", "bf16 x bf16", false));
        assertTrue(log.rows().getFirst().differs());
    }

    @Test
    void rowsAreACopy() {
        ExecutionLog log = new ExecutionLog(false);
        List<ExecutionRow> before = log.rows();
        log.launched(row("a", "int8 x int8", true));
        assertEquals(0, before.size());
    }
}
