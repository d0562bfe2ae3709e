package dev.nibble.models.text;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;

class SentenceBatchesTests {
    private static TokenizedTexts texts(int count) {
        List<int[]> sequences = new ArrayList<>();
        int[] labels = new int[count];
        for (int i = 0; i < count; i++) {
            sequences.add(new int[] {1, 100 + i, 2});
            labels[i] = i;
        }
        return new TokenizedTexts(sequences, labels);
    }

    @Test
    void sequencesFollowEachOtherWithoutPadding() {
        TokenizedTexts texts = new TokenizedTexts(
                List.of(new ByteTokenizer().encode("ab", 8), new ByteTokenizer().encode("xyz", 4)), new int[] {1, 0});
        SentenceBatch batch = SentenceBatch.of(texts, new int[] {1, 0});
        assertEquals(64, batch.ids().length);
        assertArrayEquals(new int[] {1, 3 + 'x', 3 + 'y', 2, 1, 3 + 'a', 3 + 'b', 2, 0}, head(batch.ids(), 9));
        assertArrayEquals(new int[] {0, 1, 2, 3, 0, 1, 2, 3, 0}, head(batch.places(), 9));
        assertArrayEquals(new int[] {0, 4}, batch.firsts());
        assertArrayEquals(new int[] {4, 4}, batch.lengths());
        assertArrayEquals(new int[] {0, 1}, batch.targets());
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
