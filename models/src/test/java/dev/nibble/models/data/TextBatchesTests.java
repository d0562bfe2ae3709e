package dev.nibble.models.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.HashSet;
import java.util.Set;
import org.junit.jupiter.api.Test;

class TextBatchesTests {
    private static final int SEQUENCE = 7;
    private static final int BATCH = 5;

    /** Byte i is i, so that a token tells where it comes from. */
    private static ByteText counting(int length) {
        byte[] bytes = new byte[length];
        for (int i = 0; i < length; i++) {
            bytes[i] = (byte) i;
        }
        return ByteText.of("counting", bytes);
    }

    private final TextBatches batches = new TextBatches(counting(250), 3, BATCH, SEQUENCE);

    @Test
    void targetsAreTheNextBytes() {
        TextBatch batch = batches.training(0, 0);
        assertEquals(BATCH * SEQUENCE, batch.ids().length);
        for (int i = 0; i < batch.ids().length; i++) {
            assertEquals(batch.ids()[i] + 1, batch.targets()[i]);
            if (i % SEQUENCE != 0) {
                assertEquals(batch.targets()[i - 1], batch.ids()[i]);
            }
        }
    }

    @Test
    void sameAddressGivesTheSameBatch() {
        TextBatch again = new TextBatches(counting(250), 3, BATCH, SEQUENCE).training(4, 1);
        assertArrayEquals(batches.training(4, 1).ids(), again.ids());
    }

    @Test
    void seedStepAndMicroBatchChangeTheBatch() {
        int[] first = batches.training(4, 1).ids();
        assertFalse(Arrays.equals(first, batches.training(5, 1).ids()));
        assertFalse(Arrays.equals(first, batches.training(4, 0).ids()));
        assertFalse(Arrays.equals(
                first,
                new TextBatches(counting(250), 4, BATCH, SEQUENCE)
                        .training(4, 1)
                        .ids()));
    }

    @Test
    void trainingReachesEveryPlaceAndNoHeldOutByte() {
        Set<Integer> starts = new HashSet<>();
        int largest = 0;
        for (int step = 0; step < 2000; step++) {
            TextBatch batch = batches.training(step, 0);
            for (int b = 0; b < BATCH; b++) {
                starts.add(batch.ids()[b * SEQUENCE]);
            }
            largest = Math.max(largest, Arrays.stream(batch.targets()).max().orElseThrow());
        }
        // 10000 draws of 218 places: one is missed with probability 218 · (1 - 1/218)^10000 < 1e-17
        assertEquals(225 - SEQUENCE, starts.size());
        assertEquals(224, largest); // the last training byte, as a target
    }

    @Test
    void validationIsFixedHeldOutAndSpread() {
        int[] first = batches.validation(0, 3).ids();
        int[] last = batches.validation(2, 3).targets();
        assertArrayEquals(
                first,
                new TextBatches(counting(250), 99, BATCH, SEQUENCE)
                        .validation(0, 3)
                        .ids());
        assertEquals(225, first[0]);
        assertEquals(249, last[last.length - 1]);
        assertTrue(Arrays.stream(first).min().orElseThrow() >= 225);
    }

    @Test
    void oneValidationWindowIsTheFirst() {
        assertEquals(
                225,
                new TextBatches(counting(250), 0, 1, SEQUENCE).validation(0, 1).ids()[0]);
    }
}
