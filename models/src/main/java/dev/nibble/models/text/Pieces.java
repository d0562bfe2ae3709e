package dev.nibble.models.text;

/**
 * What a tokenizer makes of a text.
 *
 * @param tokens the tokens; must not be changed
 * @param words number of the word that each token is a part of, -1 if of none, [tokens]; must not be changed
 * @param cut whether the text has more tokens than were to be kept
 */
public record Pieces(int[] tokens, int[] words, boolean cut) {}
