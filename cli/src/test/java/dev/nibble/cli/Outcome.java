package dev.nibble.cli;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;

/** What a command line did: driven through the entry point, with streams of its own. */
record Outcome(int status, String out, String err) {
    private static final ObjectMapper MAPPER =
            new ObjectMapper().enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS);

    /** Runs a command line. */
    static Outcome of(String... arguments) {
        return of(new Interruption(), arguments);
    }

    /** Runs a command line that may be interrupted. */
    static Outcome of(Interruption interruption, String... arguments) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        ByteArrayOutputStream err = new ByteArrayOutputStream();
        Terminal terminal = new Terminal(
                new PrintStream(out, true, StandardCharsets.UTF_8),
                Integer.MAX_VALUE,
                new PrintStream(err, true, StandardCharsets.UTF_8),
                0,
                interruption);
        int status = Nibble.run(terminal, arguments);
        return new Outcome(status, out.toString(StandardCharsets.UTF_8), err.toString(StandardCharsets.UTF_8));
    }

    /** {@return standard output as one JSON value; anything after it is an error} */
    JsonNode json() {
        try {
            return MAPPER.readTree(out);
        } catch (JsonProcessingException e) {
            throw new AssertionError("standard output is not one JSON value: " + out, e);
        }
    }
}
