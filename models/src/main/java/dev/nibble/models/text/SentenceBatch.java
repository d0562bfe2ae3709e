package dev.nibble.models.text;

import java.util.List;

/**
 * Sequences one after the other, without padding between them; the rows behind the last one, up to a multiple of 64, are token 0.
 *
 * @param ids tokens, [rows]
 * @param places position of each row in its sequence, [rows]
 * @param lengths tokens of each sequence, [sequences]
 * @param asked rows that are classified, ascending, [asked]
 * @param targets class of each of these, [asked]
 * @param askedOfEach how many rows of each sequence are classified, [sequences]
 */
public record SentenceBatch(int[] ids, int[] places, int[] lengths, int[] asked, int[] targets, int[] askedOfEach) {
    private static final int MULTIPLE = 64; // so that batches of any lengths have few different numbers of rows

    /** {@return some texts, one after the other} */
    static SentenceBatch of(List<TokenizedText> texts) {
        int rows = 0;
        int questions = 0;
        for (TokenizedText text : texts) {
            rows = Math.addExact(rows, text.tokens().length);
            questions = Math.addExact(questions, text.asked().length);
        }
        SentenceBatch batch = new SentenceBatch(
                new int[Math.ceilDiv(rows, MULTIPLE) * MULTIPLE],
                new int[Math.ceilDiv(rows, MULTIPLE) * MULTIPLE],
                new int[texts.size()],
                new int[questions],
                new int[questions],
                new int[texts.size()]);
        int row = 0;
        int question = 0;
        for (int i = 0; i < texts.size(); i++) {
            TokenizedText text = texts.get(i);
            batch.put(i, text, row, question);
            row += text.tokens().length;
            question += text.asked().length;
        }
        return batch;
    }

    private void put(int index, TokenizedText text, int row, int question) {
        lengths[index] = text.tokens().length;
        askedOfEach[index] = text.asked().length;
        System.arraycopy(text.tokens(), 0, ids, row, text.tokens().length);
        for (int place = 0; place < text.tokens().length; place++) {
            places[row + place] = place;
        }
        System.arraycopy(text.classes(), 0, targets, question, text.classes().length);
        for (int i = 0; i < text.asked().length; i++) {
            asked[question + i] = row + text.asked()[i];
        }
    }
}
