package dev.nibble.models.files;

import java.util.List;
import java.util.SequencedMap;

/** A value in a YAML document, and where it stands. */
public sealed interface YamlNode {
    /** {@return the line, from 1} */
    int line();

    /** {@return what this is, in few words} */
    String describe();

    /**
     * A text, number or truth value: what it means is the reader's to say.
     *
     * @param line the line, from 1
     * @param text the characters, without quotes
     * @param plain whether there were no quotes
     */
    record Scalar(int line, String text, boolean plain) implements YamlNode {
        @Override
        public String describe() {
            if (plain) {
                return text.isEmpty() ? "empty" : "'" + YamlText.shown(text) + "'";
            }
            return "the text '" + YamlText.shown(text) + "' in quotes";
        }
    }

    /**
     * A list.
     *
     * @param line the line, from 1
     * @param items its values
     */
    record Sequence(int line, List<YamlNode> items) implements YamlNode {
        /** Copies the list. */
        public Sequence {
            items = List.copyOf(items);
        }

        @Override
        public String describe() {
            return "a list";
        }
    }

    /**
     * Names with values, in the order of the document.
     *
     * @param line the line, from 1
     * @param entries the values by name
     */
    record Mapping(int line, SequencedMap<String, Entry> entries) implements YamlNode {
        @Override
        public String describe() {
            return "a section";
        }
    }

    /**
     * A value with its name.
     *
     * @param line the line of the name, from 1
     * @param value the value
     */
    record Entry(int line, YamlNode value) {}
}
