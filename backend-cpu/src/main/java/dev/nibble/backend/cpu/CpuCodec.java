package dev.nibble.backend.cpu;

import dev.nibble.quant.TensorCodec;
import dev.nibble.reference.GroupScale;
import dev.nibble.reference.ReferenceCodec;
import java.util.Arrays;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorShape;
import jdk.incubator.vector.VectorSpecies;

/** Packs whole groups with vectors, ragged ones plainly; equal to {@link ReferenceCodec#PLAIN}, bit for bit. */
final class CpuCodec implements ReferenceCodec.Groups {
    private static final VectorSpecies<Float> LANES = VectorExp.SPECIES;
    private static final VectorSpecies<Integer> INTS = LANES.withLanes(int.class);
    private static final VectorSpecies<Byte> BYTES =
            VectorSpecies.of(byte.class, VectorShape.forBitSize(Math.max(64, LANES.vectorBitSize() / 4)));
    // A 128-bit unit has no byte vector with as many lanes as it has floats.
    private static final boolean FITS = BYTES.length() == LANES.length();
    private static final int STEP = LANES.length();
    private static final int GROUP = TensorCodec.GROUP;
    private static final int MAGNITUDE = 0x7FFFFFFF;
    private static final float MAGIC = 12582912f; // 1.5 · 2^23: adding it rounds |t| <= 2^22, ties to even
    private static final int MAGIC_BITS = 0x4B400000;
    private static final int BF16_NAN = 0x7FC0;

    CpuCodec() {}

    @Override
    public float encode(TensorCodec codec, float[] x, int from, int count, byte[] bytes, int to) {
        if (!FITS || count != GROUP) {
            return ReferenceCodec.PLAIN.encode(codec, x, from, count, bytes, to);
        }
        if (!codec.scaled()) {
            encodeBf16(x, from, bytes, to);
            return 0;
        }
        GroupScale scale = ReferenceCodec.scale(codec, amax(x, from));
        float m = scale.multiplier();
        if (m == 0) {
            Arrays.fill(bytes, to, to + GROUP + codec.highBytes(GROUP), (byte) 0);
            return scale.scale();
        }
        switch (codec.bits()) {
            case 8 -> {
                for (int i = 0; i < GROUP; i += STEP) {
                    store(codes(x, from + i, m), bytes, to + i);
                }
            }
            case 10 -> encode10(x, from, m, bytes, to);
            case 12 -> encode12(x, from, m, bytes, to);
            default -> {
                for (int i = 0; i < GROUP; i += STEP) {
                    IntVector codes = codes(x, from + i, m);
                    store(codes, bytes, to + i);
                    store(codes.lanewise(VectorOperators.ASHR, 8), bytes, to + GROUP + i);
                }
            }
        }
        return scale.scale();
    }

    private static void encodeBf16(float[] x, int from, byte[] bytes, int to) {
        for (int i = 0; i < GROUP; i += STEP) {
            FloatVector v = FloatVector.fromArray(LANES, x, from + i);
            IntVector bits = v.reinterpretAsInts();
            IntVector odd = bits.lanewise(VectorOperators.LSHR, 16).and(1);
            IntVector codes = bits.add(0x7FFF)
                    .add(odd)
                    .lanewise(VectorOperators.LSHR, 16)
                    .blend(BF16_NAN, v.test(VectorOperators.IS_NAN).cast(INTS));
            store(codes, bytes, to + i);
            store(codes.lanewise(VectorOperators.LSHR, 8), bytes, to + GROUP + i);
        }
    }

    private static void decodeBf16(byte[] bytes, int from, float[] x, int to) {
        for (int i = 0; i < GROUP; i += STEP) {
            IntVector upper = load(bytes, from + GROUP + i).lanewise(VectorOperators.LSHL, 24);
            IntVector lower = load(bytes, from + i).and(0xFF).lanewise(VectorOperators.LSHL, 16);
            upper.or(lower).reinterpretAsFloats().intoArray(x, to + i);
        }
    }

    private static void encode10(float[] x, int from, float m, byte[] bytes, int to) {
        for (int i = 0; i < GROUP / 4; i += STEP) {
            IntVector a = codes(x, from + i, m);
            IntVector b = codes(x, from + GROUP / 4 + i, m);
            IntVector c = codes(x, from + GROUP / 2 + i, m);
            IntVector d = codes(x, from + 3 * GROUP / 4 + i, m);
            store(a, bytes, to + i);
            store(b, bytes, to + GROUP / 4 + i);
            store(c, bytes, to + GROUP / 2 + i);
            store(d, bytes, to + 3 * GROUP / 4 + i);
            // bits 8 and 9 of each code move to bits 0 and 1, 2 and 3, 4 and 5, 6 and 7; those above are cut off
            IntVector high = a.lanewise(VectorOperators.LSHR, 8)
                    .and(3)
                    .or(b.lanewise(VectorOperators.LSHR, 6).and(12))
                    .or(c.lanewise(VectorOperators.LSHR, 4).and(48))
                    .or(d.lanewise(VectorOperators.LSHR, 2).and(192));
            store(high, bytes, to + GROUP + i);
        }
    }

    private static void encode12(float[] x, int from, float m, byte[] bytes, int to) {
        for (int i = 0; i < GROUP / 2; i += STEP) {
            IntVector a = codes(x, from + i, m);
            IntVector b = codes(x, from + GROUP / 2 + i, m);
            store(a, bytes, to + i);
            store(b, bytes, to + GROUP / 2 + i);
            IntVector high = a.lanewise(VectorOperators.LSHR, 8)
                    .and(15)
                    .or(b.lanewise(VectorOperators.LSHR, 4).and(240));
            store(high, bytes, to + GROUP + i);
        }
    }

    @Override
    public void decode(TensorCodec codec, byte[] bytes, int from, float scale, float[] x, int to, int count) {
        if (!FITS || count != GROUP) {
            ReferenceCodec.PLAIN.decode(codec, bytes, from, scale, x, to, count);
            return;
        }
        if (!codec.scaled()) {
            decodeBf16(bytes, from, x, to);
            return;
        }
        int high = codec.highBits();
        if (high == 0) {
            for (int i = 0; i < GROUP; i += STEP) {
                write(load(bytes, from + i), scale, x, to + i);
            }
            return;
        }
        int quarter = codec.highBytes(GROUP); // a quarter, half or all of the group: codes that are stored side by side
        for (int j = 0; j < quarter; j += STEP) {
            IntVector fields = load(bytes, from + GROUP + j);
            for (int at = j, shift = 32 - high; at < GROUP; at += quarter, shift -= high) {
                IntVector upper =
                        fields.lanewise(VectorOperators.LSHL, shift).lanewise(VectorOperators.ASHR, 32 - high);
                IntVector lower = load(bytes, from + at).and(0xFF);
                write(lower.or(upper.lanewise(VectorOperators.LSHL, 8)), scale, x, to + at);
            }
        }
    }

    private static float amax(float[] x, int from) {
        IntVector largest = IntVector.zero(INTS);
        for (int i = 0; i < GROUP; i += STEP) {
            // as integers, magnitudes have the order of the values, and NaN is above infinity
            largest = FloatVector.fromArray(LANES, x, from + i)
                    .reinterpretAsInts()
                    .and(MAGNITUDE)
                    .max(largest);
        }
        return Float.intBitsToFloat(largest.reduceLanes(VectorOperators.MAX));
    }

    /** {@return codes; x · m is at most top · (1 + 2^-22) in magnitude, which rounds to top} */
    private static IntVector codes(float[] x, int at, float m) {
        return FloatVector.fromArray(LANES, x, at)
                .mul(m)
                .add(MAGIC)
                .reinterpretAsInts()
                .sub(MAGIC_BITS);
    }

    private static void store(IntVector codes, byte[] bytes, int at) {
        codes.convertShape(VectorOperators.I2B, BYTES, 0).reinterpretAsBytes().intoArray(bytes, at);
    }

    private static IntVector load(byte[] bytes, int at) {
        return (IntVector) BYTES.fromArray(bytes, at).convertShape(VectorOperators.B2I, INTS, 0);
    }

    private static void write(IntVector codes, float scale, float[] x, int at) {
        ((FloatVector) codes.convertShape(VectorOperators.I2F, LANES, 0))
                .mul(scale)
                .intoArray(x, at);
    }
}
