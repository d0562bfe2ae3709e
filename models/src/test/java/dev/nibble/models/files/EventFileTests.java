package dev.nibble.models.files;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.nibble.error.NibbleException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SequencedMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class EventFileTests {
    @TempDir
    Path folder;

    private static SequencedMap<String, Double> values(Object... tagsAndValues) {
        SequencedMap<String, Double> values = new LinkedHashMap<>();
        for (int i = 0; i < tagsAndValues.length; i += 2) {
            values.put((String) tagsAndValues[i], (Double) tagsAndValues[i + 1]);
        }
        return values;
    }

    @Test
    void theReadersCrcIsThatOfTheStandard() {
        assertEquals(0xE3069283, EventRecords.crc("123456789".getBytes(StandardCharsets.US_ASCII)));
    }

    /** The first record of any file of version 2 at time 0, byte by byte: 24 bytes of data. */
    @Test
    void theFirstRecordIsTheVersion() throws IOException {
        Path file = folder.resolve("events");
        new EventFile(file, 0).close();
        byte[] bytes = Files.readAllBytes(file);
        assertEquals(8 + 4 + 24 + 4, bytes.length);
        String data = "090000000000000000" + "1a0d"
                + HexFormat.of().formatHex("brain.Event:2".getBytes(StandardCharsets.US_ASCII));
        assertEquals("1800000000000000" + "a37f4b22", HexFormat.of().formatHex(bytes, 0, 12));
        assertEquals(data, HexFormat.of().formatHex(bytes, 12, 36));
        assertEquals(1, EventRecords.read(file).size());
    }

    @Test
    void numbersAreReadBackAtOnceWithTheirTagsAndSteps() throws IOException {
        Path file = folder.resolve("events");
        try (EventFile events = new EventFile(file, 1e9)) {
            events.write(1.5, 0, values("loss/train", 3.25, "é", Double.NaN, "x".repeat(300), -0.0));
            assertEquals(2, EventRecords.read(file).size(), "nothing waits in a buffer");
            events.write(2.5, 1L << 40, values("b", Double.NEGATIVE_INFINITY, "c", 1e-300));
        }
        List<EventRecords.Event> read = EventRecords.read(file);
        assertEquals(new EventRecords.Event(1e9, 0, "brain.Event:2", Map.of()), read.getFirst());
        assertEquals(
                new EventRecords.Event(1.5, 0, "", Map.of("loss/train", 3.25f, "é", Float.NaN, "x".repeat(300), -0f)),
                read.get(1));
        assertEquals(
                new EventRecords.Event(2.5, 1L << 40, "", Map.of("b", Float.NEGATIVE_INFINITY, "c", 0f)), read.get(2));
    }

    @Test
    void aFileThatCannotBeWrittenIsNamed() {
        NibbleException e = assertThrows(NibbleException.class, () -> new EventFile(folder.resolve("no/events"), 0));
        assertEquals(true, e.getMessage().contains("events cannot be written"), e.getMessage());
    }
}
