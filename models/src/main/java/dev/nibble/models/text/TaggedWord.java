package dev.nibble.models.text;

/**
 * A word of a sentence and its tag.
 *
 * @param word not empty
 * @param tag its class, by name, not empty
 * @param line where it stands in its file, from 1
 */
public record TaggedWord(String word, String tag, long line) {}
