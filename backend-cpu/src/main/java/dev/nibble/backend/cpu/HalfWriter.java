package dev.nibble.backend.cpu;

import dev.nibble.tensor.Bf16;
import dev.nibble.tensor.Fp16;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorShape;
import jdk.incubator.vector.VectorSpecies;

/** Rounds neighbouring values to 16-bit floats; any values. */
final class HalfWriter {
    private static final VectorSpecies<Float> LANES = TileKernel.LANES;
    private static final VectorSpecies<Short> SHORTS =
            VectorSpecies.of(short.class, VectorShape.forBitSize(Math.max(64, LANES.vectorBitSize() / 2)));
    private static final int MAGNITUDE = 0x7FFFFFFF;
    private static final int INFINITY = 0x7F800000;
    private static final int BF16_NAN = 0x7FC0;

    private HalfWriter() {}

    /** Writes {@link Bf16#encode} of the elements from {@code from} to the same places. */
    static void bf16(float[] x, int from, int count, short[] codes) {
        int to = from + LANES.loopBound(count);
        for (int i = from; i < to; i += LANES.length()) {
            IntVector bits = FloatVector.fromArray(LANES, x, i).reinterpretAsInts();
            IntVector odd = bits.lanewise(VectorOperators.LSHR, 16).and(1);
            IntVector code = bits.add(0x7FFF).add(odd).lanewise(VectorOperators.LSHR, 16);
            VectorMask<Integer> nan = bits.and(MAGNITUDE).compare(VectorOperators.GT, INFINITY);
            code.blend(BF16_NAN, nan)
                    .convertShape(VectorOperators.I2S, SHORTS, 0)
                    .reinterpretAsShorts()
                    .intoArray(codes, i);
        }
        for (int i = to; i < from + count; i++) {
            codes[i] = Bf16.encode(x[i]);
        }
    }

    /** Writes {@link Fp16#encode} of the elements from {@code from} to the same places; C2 vectorizes the loop. */
    static void fp16(float[] x, int from, int count, short[] codes) {
        for (int i = from; i < from + count; i++) {
            codes[i] = Fp16.encode(x[i]);
        }
    }
}
