package dev.nibble.models.text;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;

class SentenceBatchesTests {
    private static TokenizedTexts texts(int count) {
        List<TokenizedText> texts = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            texts.add(new TokenizedText(new int[] {1, 100 + i, 2}, new int[1], new int[] {i}));
        }
        return new TokenizedTexts(texts, 0, 0);
    }

    @Test
    void sequencesFollowEachOtherWithoutPadding() {
        ByteTokenizer bytes = new ByteTokenizer();
        SentenceBatch batch = SentenceBatch.of(List.of(
                new TokenizedText(bytes.encode("xyz", 4).tokens(), new int[] {0, 2}, new int[] {0, 5}),
                new TokenizedText(bytes.encode("ab", 8).tokens(), new int[] {1}, new int[] {1})));
        assertEquals(64, batch.ids().length);
        assertArrayEquals(new int[] {1, 3 + 'x', 3 + 'y', 2, 1, 3 + 'a', 3 + 'b', 2, 0}, head(batch.ids(), 9));
        assertArrayEquals(new int[] {0, 1, 2, 3, 0, 1, 2, 3, 0}, head(batch.places(), 9));
        assertArrayEquals(new int[] {4, 4}, batch.lengths());
        assertArrayEquals(new int[] {0, 2, 5}, batch.asked());
        assertArrayEquals(new int[] {0, 5, 1}, batch.targets());
        assertArrayEquals(new int[] {2, 1}, batch.askedOfEach());
    }

    @Test
    void theFirstTokenOfEachWordIsAskedForItsTag() {
        List<TaggedWord> sentence =
                List.of(new TaggedWord("ab", "B-X", 1), new TaggedWord("c", "I-X", 2), new TaggedWord("def", "O", 3));
        List<String> tags = List.of("B-X", "I-X", "O");
        TokenizedTexts whole = TokenizedTexts.ofWords(List.of(sentence), tags, new ByteTokenizer(), 32);
        TokenizedText text = whole.texts().getFirst();
        assertArrayEquals(new int[] {1, 4, 6}, text.asked()); // the spaces before the words
        assertArrayEquals(new int[] {0, 1, 2}, text.classes());
        assertEquals(11, text.tokens().length);
        assertEquals(Optional.empty(), whole.loss("sentences", 32));
        TokenizedTexts cut =
                TokenizedTexts.ofWords(List.of(sentence, sentence.subList(0, 1)), tags, new ByteTokenizer(), 5);
        assertArrayEquals(new int[] {1}, cut.texts().getFirst().asked());
        assertEquals(2, cut.unseen());
        assertEquals(1, cut.cut());
        assertTrue(cut.loss("sentences", 5)
                .orElseThrow()
                .startsWith("1 of 2 sentences have more than 5 tokens and lose their end, and 2 words are neither"));
    }

    private static int[] head(int[] values, int count) {
        return Arrays.copyOf(values, count);
    }

    @Test
    void anEpochHasEachTextOnce() {
        SentenceBatches batches = new SentenceBatches(texts(13), texts(5), 7, 4, 1);
        for (int epoch = 0; epoch < 4; epoch++) {
            Set<Integer> seen = new TreeSet<>();
            for (int i = epoch * 13; i < (epoch + 1) * 13; i++) {
                seen.add(batches.training(i / 4, 0).targets()[i % 4]);
            }
            assertEquals(13, seen.size());
        }
        SentenceBatches again = new SentenceBatches(texts(13), texts(5), 7, 4, 1);
        assertArrayEquals(batches.training(9, 0).targets(), again.training(9, 0).targets());
        assertEquals(2, batches.validationBatches());
        assertArrayEquals(new int[] {4}, batches.validation(1).targets());
    }
}
