package dev.nibble.reference;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class LaneSumTests {
    @Test
    void elementsSixteenApartAreAddedFirst() {
        float[] x = new float[33]; // [33]
        x[0] = 0x1p24f;
        x[16] = 1f; // lost in lane 0: 2^24 + 1 rounds to 2^24
        x[32] = 1f; // lost as well
        assertEquals(0x1p24f, LaneSum.sum(x, 0, 33));
        x[16] = 0f;
        x[17] = 1f; // lane 1: 1 + 1 = 2 survives
        x[32] = 0f;
        x[1] = 1f;
        assertEquals(0x1p24f + 2f, LaneSum.sum(x, 0, 33));
    }

    @Test
    void lanesFoldByHalves() {
        float[] lanes = new float[LaneSum.LANES]; // [16]
        lanes[0] = 0x1p24f;
        lanes[8] = 1f; // first added to lane 0, and lost
        lanes[4] = 1f; // lane 4 gets lane 12 first: 2
        lanes[12] = 1f;
        assertEquals(0x1p24f + 2f, LaneSum.fold(lanes));
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 13, 15, 16, 17, 127, 128, 129})
    void lengthsNeedNotBeMultiples(int length) {
        SplittableRandom random = new SplittableRandom(length);
        float[] x = new float[length + 3]; // [3 + length]
        double sum = 0;
        double squares = 0;
        for (int i = 0; i < length; i++) {
            x[3 + i] = random.nextInt(-100, 101); // sums below 2^24 are exact in any order
            sum += x[3 + i];
            squares += x[3 + i] * x[3 + i];
        }
        assertEquals(sum, LaneSum.sum(x, 3, length));
        assertEquals(squares, LaneSum.dot(x, 3, x, 3, length));
    }
}
