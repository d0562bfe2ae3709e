package dev.nibble.backend.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.nibble.random.RandomStream;
import dev.nibble.tensor.Role;
import org.junit.jupiter.api.Test;

class PhiloxLanesTests {
    @Test
    void wordsAreTheStreamsWhereverTheyStart() {
        RandomStream[] streams = {
            new RandomStream(0, 0, 0, 0, Role.INPUT, 0, 0),
            new RandomStream(-1L, -1, (1 << 24) - 1, (1 << 20) - 1, Role.OTHER, 15, 15),
            new RandomStream(0x8000_0001_7FFF_FFFFL, 12345, 3, 17, Role.GRAD_OUTPUT, 1, 0)
        };
        for (RandomStream stream : streams) {
            for (int first : new int[] {0, 1, 2, 3, 31, 4097, Integer.MAX_VALUE - 400}) {
                for (int count : new int[] {1, 4, 13, 127, 129, 257}) {
                    int[] words = new int[PhiloxLanes.capacity(count)];
                    int at = PhiloxLanes.words(stream, first, count, words);
                    for (int i = 0; i < count; i++) {
                        assertEquals(stream.word(first + i), words[at + i], stream + " element " + (first + i));
                    }
                }
            }
        }
    }
}
