package dev.nibble.models.files;

/**
 * What is wrong in a YAML document.
 *
 * @param line the line, from 1
 * @param message what is wrong, without a subject: {@code has the alias *x, but …}
 */
public record YamlProblem(int line, String message) {}
