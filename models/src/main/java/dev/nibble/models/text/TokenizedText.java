package dev.nibble.models.text;

/**
 * A text as tokens, and what is asked about it.
 *
 * @param tokens the tokens; must not be changed
 * @param asked places of the tokens whose vectors are classified, ascending: the first token of a text, or the first one of each
 *     word; must not be changed
 * @param classes class of each of them, [asked tokens]; must not be changed
 */
public record TokenizedText(int[] tokens, int[] asked, int[] classes) {}
