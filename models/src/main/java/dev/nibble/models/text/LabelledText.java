package dev.nibble.models.text;

/**
 * A text and its label.
 *
 * @param text what is classified, not empty
 * @param label its class, by name, not empty
 * @param line where it begins in its file, from 1
 */
public record LabelledText(String text, String label, long line) {}
