package dev.nibble.models.text;

/**
 * Sequences one after the other, without padding between them; the rows behind the last one, up to a multiple of 64, are token 0.
 *
 * @param ids tokens, [rows]
 * @param places position of each row in its sequence, [rows]
 * @param firsts first row of each sequence, [sequences]
 * @param lengths tokens of each sequence, [sequences]
 * @param targets class of each sequence, [sequences]
 */
public record SentenceBatch(int[] ids, int[] places, int[] firsts, int[] lengths, int[] targets) {
    private static final int MULTIPLE = 64; // so that batches of any lengths have few different numbers of rows

    /** {@return some of the texts} */
    static SentenceBatch of(TokenizedTexts texts, int[] chosen) {
        int[] firsts = new int[chosen.length]; // [sequences]
        int[] lengths = new int[chosen.length]; // [sequences]
        int[] targets = new int[chosen.length]; // [sequences]
        int rows = 0;
        for (int i = 0; i < chosen.length; i++) {
            firsts[i] = rows;
            lengths[i] = texts.sequences().get(chosen[i]).length;
            targets[i] = texts.labels()[chosen[i]];
            rows = Math.addExact(rows, lengths[i]);
        }
        int[] ids = new int[Math.ceilDiv(rows, MULTIPLE) * MULTIPLE]; // [rows]
        int[] places = new int[ids.length]; // [rows]
        for (int i = 0; i < chosen.length; i++) {
            System.arraycopy(texts.sequences().get(chosen[i]), 0, ids, firsts[i], lengths[i]);
            for (int place = 0; place < lengths[i]; place++) {
                places[firsts[i] + place] = place;
            }
        }
        return new SentenceBatch(ids, places, firsts, lengths, targets);
    }
}
