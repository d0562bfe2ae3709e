package dev.nibble.models;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Where the record of a run comes from.
 *
 * @param tool name of the program that trains
 * @param version its version
 * @param command the words that started it; empty if there were none
 * @param machine facts about the machine by name, in the order they are written
 */
public record RunOrigin(String tool, String version, List<String> command, Map<String, String> machine) {
    /** Copies the collections. */
    public RunOrigin {
        command = List.copyOf(command);
        machine = Collections.unmodifiableMap(new LinkedHashMap<>(machine));
    }
}
