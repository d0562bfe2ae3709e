package dev.nibble.backend.cpu;

import dev.nibble.host.HostTensor;
import dev.nibble.quant.Rounding;
import dev.nibble.random.RandomStream;
import dev.nibble.reference.Rounder;
import dev.nibble.tensor.Bf16;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Fp16;
import dev.nibble.tensor.Fp8;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorShape;
import jdk.incubator.vector.VectorSpecies;

/** Rounds neighbouring values to codes; equal to {@link Rounder}, {@link Fp8} and {@link Bf16} bit for bit. */
final class CodeWriter {
    private static final VectorSpecies<Float> LANES = TileKernel.LANES;
    private static final VectorSpecies<Integer> INTS = IntVector.SPECIES_PREFERRED;
    private static final VectorSpecies<Short> SHORTS =
            VectorSpecies.of(short.class, VectorShape.forBitSize(Math.max(64, LANES.vectorBitSize() / 2)));
    private static final VectorSpecies<Byte> BYTES =
            VectorSpecies.of(byte.class, VectorShape.forBitSize(Math.max(64, LANES.vectorBitSize() / 4)));
    // A 128-bit unit has no byte vector with as many lanes as it has floats.
    private static final int BYTE_STEP = BYTES.length() == LANES.length() ? LANES.length() : Integer.MAX_VALUE;

    // 1.5 · 2^23: adding it to |t| ≤ 2^22 rounds t to a whole number, ties to even, which is then in the low bits.
    private static final float MAGIC = 12582912f;
    private static final int MAGIC_BITS = 0x4B400000;
    private static final int TOP = 127;
    private static final int MAGNITUDE = 0x7FFFFFFF;
    private static final int INFINITY = 0x7F800000;
    private static final int BF16_NAN = 0x7FC0;

    private CodeWriter() {}

    /**
     * Writes {@code round(x · multiplier)} for INT8 to nearest.
     *
     * @param x values from {@code from}; each product finite, of magnitude at most 2^7
     * @param multipliers one a value from {@code factorAt}
     * @param codes written from {@code from}
     */
    static void nearest(float[] x, int from, int count, float[] multipliers, int factorAt, byte[] codes, int to) {
        int i = 0;
        for (; i <= count - BYTE_STEP; i += BYTE_STEP) {
            FloatVector.fromArray(LANES, x, from + i)
                    .mul(FloatVector.fromArray(LANES, multipliers, factorAt + i))
                    .add(MAGIC)
                    .reinterpretAsInts()
                    .convertShape(VectorOperators.I2B, BYTES, 0)
                    .reinterpretAsBytes()
                    .intoArray(codes, to + i);
        }
        for (; i < count; i++) {
            codes[to + i] = Rounder.nearest(x[from + i] * multipliers[factorAt + i]);
        }
    }

    /**
     * Writes {@code round(x · multiplier)} for INT8, up with the probability of the fraction.
     *
     * @param words 32 random bits a value from {@code wordAt}
     */
    static void stochastic(
            float[] x,
            int from,
            int count,
            float[] multipliers,
            int factorAt,
            int[] words,
            int wordAt,
            byte[] codes,
            int to) {
        int i = 0;
        for (; i <= count - BYTE_STEP; i += BYTE_STEP) {
            FloatVector t = FloatVector.fromArray(LANES, x, from + i)
                    .mul(FloatVector.fromArray(LANES, multipliers, factorAt + i));
            FloatVector whole = t.add(MAGIC).sub(MAGIC);
            FloatVector floor = whole.sub(1f, whole.compare(VectorOperators.GT, t));
            IntVector bits = IntVector.fromArray(INTS, words, wordAt + i).lanewise(VectorOperators.LSHR, 8);
            FloatVector u = ((FloatVector) bits.convertShape(VectorOperators.I2F, LANES, 0)).mul(RandomStream.UNIT);
            FloatVector rounded = floor.add(1f, u.compare(VectorOperators.LT, t.sub(floor)));
            rounded.add(MAGIC)
                    .reinterpretAsInts()
                    .sub(MAGIC_BITS)
                    .min(TOP)
                    .max(-TOP)
                    .convertShape(VectorOperators.I2B, BYTES, 0)
                    .reinterpretAsBytes()
                    .intoArray(codes, to + i);
        }
        for (; i < count; i++) {
            float u = RandomStream.fromWord(words[wordAt + i]);
            codes[to + i] = Rounder.stochastic(x[from + i] * multipliers[factorAt + i], u);
        }
    }

    /** Writes {@code Fp8.encode(x · multiplier)}, any values. */
    static void fp8(
            DType format, float[] x, int from, int count, float[] multipliers, int factorAt, byte[] codes, int to) {
        boolean e4m3 = format == DType.E4M3;
        int mantissa = e4m3 ? 3 : 2;
        int bias = e4m3 ? 7 : 15;
        int i = 0;
        for (; i <= count - BYTE_STEP; i += BYTE_STEP) {
            FloatVector t = FloatVector.fromArray(LANES, x, from + i)
                    .mul(FloatVector.fromArray(LANES, multipliers, factorAt + i));
            encodeFp8(t, mantissa, bias, e4m3 ? 0x7E : 0x7B)
                    .convertShape(VectorOperators.I2B, BYTES, 0)
                    .reinterpretAsBytes()
                    .intoArray(codes, to + i);
        }
        for (; i < count; i++) {
            codes[to + i] = Fp8.encode(format, x[from + i] * multipliers[factorAt + i]);
        }
    }

    private static IntVector encodeFp8(FloatVector t, int mantissa, int bias, int largest) {
        IntVector bits = t.reinterpretAsInts();
        IntVector magnitude = bits.and(MAGNITUDE);
        int dropped = 23 - mantissa;
        IntVector odd = magnitude.lanewise(VectorOperators.LSHR, dropped).and(1);
        IntVector normal = magnitude
                .add((1 << (dropped - 1)) - 1)
                .add(odd)
                .lanewise(VectorOperators.LSHR, dropped)
                .sub((127 - bias) << mantissa);
        // The last bit of this power of two is the step of the subnormal codes: adding it rounds to them.
        float step = Float.intBitsToFloat((127 + 1 - bias - mantissa + 23) << 23);
        IntVector subnormal =
                magnitude.reinterpretAsFloats().add(step).reinterpretAsInts().sub(Float.floatToRawIntBits(step));
        VectorMask<Integer> small = magnitude.compare(VectorOperators.LT, (128 - bias) << 23);
        IntVector sign = bits.lanewise(VectorOperators.LSHR, 24).and(0x80);
        IntVector code = normal.blend(subnormal, small).min(largest).or(sign);
        return code.blend(0x7F, magnitude.compare(VectorOperators.GT, INFINITY));
    }

    /** Writes {@code Bf16.encode(x)}, any values. */
    static void bf16(float[] x, int from, int count, short[] codes, int to) {
        int lanes = LANES.length();
        int i = 0;
        for (; i <= count - lanes; i += lanes) {
            IntVector bits = FloatVector.fromArray(LANES, x, from + i).reinterpretAsInts();
            IntVector odd = bits.lanewise(VectorOperators.LSHR, 16).and(1);
            IntVector code = bits.add(0x7FFF).add(odd).lanewise(VectorOperators.LSHR, 16);
            code.blend(BF16_NAN, bits.and(MAGNITUDE).compare(VectorOperators.GT, INFINITY))
                    .convertShape(VectorOperators.I2S, SHORTS, 0)
                    .reinterpretAsShorts()
                    .intoArray(codes, to + i);
        }
        for (; i < count; i++) {
            codes[to + i] = Bf16.encode(x[from + i]);
        }
    }

    /** Writes the code of one value, by the plain code. */
    static void one(HostTensor codes, int at, float t, Rounding rounding, float u) {
        switch (codes.dtype()) {
            case INT8 ->
                codes.bytes()[at] = rounding == Rounding.NEAREST_EVEN ? Rounder.nearest(t) : Rounder.stochastic(t, u);
            case E4M3, E5M2 -> codes.bytes()[at] = Fp8.encode(codes.dtype(), t);
            case BF16 -> codes.shorts()[at] = Bf16.encode(t);
            case FP16 -> codes.shorts()[at] = Fp16.encode(t);
            case FP32, INT4, UINT4, E3M0, E4M0, INT32 ->
                throw new IllegalStateException(codes.dtype().label() + " is not rounded to");
        }
    }
}
