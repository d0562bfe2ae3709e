package dev.nibble.cli;

import java.io.IOException;
import java.util.List;

/** A command whose options are read. */
interface Action {
    /**
     * Does what it is for.
     *
     * @param terminal where progress goes; the answer is printed by the caller
     * @param command the words of the command line, for the record
     * @throws IllegalArgumentException if an option or value is unfit: exit status 2
     * @throws IOException if a file cannot be read or written: exit status 1
     */
    Answer run(Terminal terminal, List<String> command) throws IOException;

    /** {@return the options that every command has} */
    CommonOptions common();

    /** {@return what the help says beyond the options, gathered only when it is asked for} */
    default String moreHelp() {
        return "";
    }
}
