package dev.nibble.backend.cpu;

import dev.nibble.tensor.DType;
import dev.nibble.tensor.Nibbles;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorShuffle;
import jdk.incubator.vector.VectorSpecies;

/** Turns packed 4-bit codes into the FP32 values that they stand for at scale 1. */
final class NibbleReader {
    private static final VectorSpecies<Float> LANES = TileKernel.LANES;
    private static final int STEP = LANES.length(); // bytes of two vectors of values
    private static final VectorShuffle<Float> FIRST = VectorShuffle.makeZip(LANES, 0);
    private static final VectorShuffle<Float> SECOND = VectorShuffle.makeZip(LANES, 1);

    private NibbleReader() {}

    /**
     * Reads neighbouring codes.
     *
     * @param format of the codes
     * @param from number of the first, counted with the rows' pitch
     * @param out receives the values from {@code at}
     */
    static void read(DType format, byte[] codes, int from, int count, float[] out, int at) {
        int head = Math.min(count, from & 1);
        if (head > 0) {
            out[at] = Nibbles.value(format, Nibbles.get(codes, from));
        }
        int pairs = (count - head) / 2;
        int firstByte = (from + head) / 2;
        int whole = switch (format) {
            case INT4 -> signed(codes, firstByte, pairs, out, at + head);
            case UINT4 -> unsigned(codes, firstByte, pairs, out, at + head);
            case E3M0 -> powers(codes, firstByte, pairs, out, at + head);
            case FP32, BF16, FP16, E4M3, E5M2, INT8, E4M0, INT32 ->
                throw new IllegalArgumentException(format.label() + " is not packed, but a 4-bit format is needed");
        };
        for (int i = head + 2 * whole; i < count; i++) {
            out[at + i] = Nibbles.value(format, Nibbles.get(codes, from + i));
        }
    }

    /** {@return how many pairs were read} */
    private static int signed(byte[] codes, int from, int pairs, float[] out, int at) {
        int i = 0;
        for (; i <= pairs - ByteLanes.REACH; i += STEP) {
            IntVector pair = ByteLanes.load(codes, from + i);
            IntVector lower = pair.lanewise(VectorOperators.LSHL, 28).lanewise(VectorOperators.ASHR, 28);
            store(floats(lower), floats(pair.lanewise(VectorOperators.ASHR, 4)), out, at + 2 * i);
        }
        return i;
    }

    /** {@return how many pairs were read} */
    private static int unsigned(byte[] codes, int from, int pairs, float[] out, int at) {
        int i = 0;
        for (; i <= pairs - ByteLanes.REACH; i += STEP) {
            IntVector pair = ByteLanes.load(codes, from + i);
            IntVector upper = pair.lanewise(VectorOperators.LSHR, 4).and(0xF);
            store(floats(pair.and(0xF)), floats(upper), out, at + 2 * i);
        }
        return i;
    }

    /** {@return how many pairs were read} */
    private static int powers(byte[] codes, int from, int pairs, float[] out, int at) {
        int i = 0;
        for (; i <= pairs - ByteLanes.REACH; i += STEP) {
            IntVector pair = ByteLanes.load(codes, from + i);
            FloatVector lower = PowerLanes.value(pair.and(7), pair.lanewise(VectorOperators.LSHL, 28));
            FloatVector upper =
                    PowerLanes.value(pair.lanewise(VectorOperators.LSHR, 4).and(7), pair);
            store(lower, upper, out, at + 2 * i);
        }
        return i;
    }

    private static FloatVector floats(IntVector values) {
        return (FloatVector) values.convertShape(VectorOperators.I2F, LANES, 0);
    }

    private static void store(FloatVector even, FloatVector odd, float[] out, int at) {
        even.rearrange(FIRST, odd).intoArray(out, at);
        even.rearrange(SECOND, odd).intoArray(out, at + LANES.length());
    }
}
