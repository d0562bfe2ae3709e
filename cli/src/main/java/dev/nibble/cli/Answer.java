package dev.nibble.cli;

import com.fasterxml.jackson.databind.node.ObjectNode;

/**
 * What a command found: one JSON object for scripts, text for people.
 *
 * @param status exit status
 * @param json printed with {@code --json}
 * @param text printed without it
 * @param problem one line for standard error; empty if all went well
 */
record Answer(int status, ObjectNode json, String text, String problem) {
    /** {@return an answer without a problem} */
    static Answer done(ObjectNode json, String text) {
        return new Answer(Failure.DONE, json, text, "");
    }
}
