package dev.nibble.reference;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.quant.ScaleRule;
import dev.nibble.tensor.DType;
import java.util.List;
import org.junit.jupiter.api.Test;

class GroupScaleTests {
    private static final ScaleRule TOP = new ScaleRule.TopOverAmax(false);
    private static final ScaleRule TOP_POWER_OF_TWO = new ScaleRule.TopOverAmax(true);

    @Test
    void int8DividesByTheTop() {
        assertEquals(new GroupScale(3f / 127f, 127f / 3f), GroupScale.int8(3));
        assertEquals(new GroupScale(1, 1), GroupScale.int8(127));
        assertEquals(GroupScale.int8(0.7f), GroupScale.of(new ScaleRule.AmaxOverTop(), DType.INT8, 0.7f));
    }

    @Test
    void tinyGroupIsZero() {
        GroupScale zero = new GroupScale(1, 0);
        for (float amax : new float[] {0, Float.MIN_VALUE, Math.nextDown(0x1p-119f)}) {
            assertEquals(zero, GroupScale.int8(amax));
            assertEquals(new GroupScale(0, 0), GroupScale.residual(DType.INT8, amax));
        }
        GroupScale smallest = GroupScale.int8(0x1p-119f);
        assertEquals(127 * 0x1p119f, smallest.multiplier());
        assertTrue(smallest.scale() > 0);
        // The reciprocal overflows earlier for E5M2.
        assertEquals(zero, GroupScale.of(new ScaleRule.AmaxOverTop(), DType.E5M2, 0x1p-119f));
    }

    @Test
    void groupThatIsNotFiniteHasScaleNan() {
        for (float amax : new float[] {Float.NaN, Float.POSITIVE_INFINITY}) {
            assertEquals(new GroupScale(Float.NaN, 0), GroupScale.int8(amax));
        }
    }

    @Test
    void topOverAmaxStoresTheReciprocalOfItsMultiplier() {
        for (float amax : new float[] {1.3f, 448f, 1e-20f, Float.MAX_VALUE}) {
            float multiplier = 448f / amax;
            assertEquals(new GroupScale(1 / multiplier, multiplier), GroupScale.of(TOP, DType.E4M3, amax));
        }
    }

    @Test
    void powerOfTwoIsTheNextOneBelow() {
        assertEquals(new GroupScale(0x1p-8f, 256), GroupScale.of(TOP_POWER_OF_TWO, DType.E4M3, 1)); // 448 -> 256
        assertEquals(new GroupScale(0x1p-8f, 256), GroupScale.of(TOP_POWER_OF_TWO, DType.E4M3, 1.75f)); // exact
        assertEquals(new GroupScale(0x1p-15f, 0x1p15f), GroupScale.of(TOP_POWER_OF_TWO, DType.E5M2, 1));
    }

    @Test
    void degenerateAmaxGivesMultiplierOne() {
        for (ScaleRule rule : List.of(TOP, TOP_POWER_OF_TWO)) {
            for (float amax : new float[] {0, Float.NaN, Float.POSITIVE_INFINITY}) {
                assertEquals(new GroupScale(1, 1), GroupScale.of(rule, DType.E4M3, amax));
            }
        }
    }

    @Test
    void infiniteMultiplierBecomesTheLargestFloat() {
        GroupScale scale = GroupScale.of(TOP, DType.E4M3, Float.MIN_VALUE);
        assertEquals(Float.MAX_VALUE, scale.multiplier());
        assertEquals(1 / Float.MAX_VALUE, scale.scale());
        assertTrue(scale.scale() > 0, "a subnormal scale must not be flushed");
        assertEquals(
                0x1p127f,
                GroupScale.of(TOP_POWER_OF_TWO, DType.E4M3, Float.MIN_VALUE).multiplier());
    }

    @Test
    void amaxBelowEpsCountsAsEps() {
        ScaleRule rule = new ScaleRule.TopOverAmax(false, 1e-3f);
        for (float amax : new float[] {0, Float.MIN_VALUE, Math.nextDown(1e-3f), 1e-3f}) {
            assertEquals(448f / 1e-3f, GroupScale.of(rule, DType.E4M3, amax).multiplier());
        }
        assertEquals(GroupScale.of(TOP, DType.E4M3, 0.5f), GroupScale.of(rule, DType.E4M3, 0.5f));
        for (float amax : new float[] {Float.NaN, Float.POSITIVE_INFINITY}) {
            assertEquals(new GroupScale(1, 1), GroupScale.of(rule, DType.E4M3, amax));
        }
        assertEquals(TOP, new ScaleRule.TopOverAmax(false, 0));
        for (float eps : new float[] {-1, Float.NaN, Float.POSITIVE_INFINITY}) {
            assertThrows(IllegalArgumentException.class, () -> new ScaleRule.TopOverAmax(false, eps));
        }
    }

    @Test
    void unitIsOne() {
        for (float amax : new float[] {0, 5, Float.NaN}) {
            assertEquals(new GroupScale(1, 1), GroupScale.of(new ScaleRule.Unit(), DType.BF16, amax));
        }
    }
}
