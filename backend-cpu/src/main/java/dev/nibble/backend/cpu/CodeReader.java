package dev.nibble.backend.cpu;

import dev.nibble.host.HostTensor;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Fp8;
import dev.nibble.tensor.Nibbles;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorShape;
import jdk.incubator.vector.VectorSpecies;

/** Turns stored codes into the FP32 values that they stand for at scale 1, exactly. */
final class CodeReader {
    private static final VectorSpecies<Float> LANES = TileKernel.LANES;
    private static final VectorSpecies<Integer> INTS = IntVector.SPECIES_PREFERRED;
    private static final VectorSpecies<Short> SHORTS =
            VectorSpecies.of(short.class, VectorShape.forBitSize(Math.max(64, LANES.vectorBitSize() / 2)));
    private static final float[] E4M3 = Fp8.decodeTable(DType.E4M3); // [256]
    private static final float[] E5M2 = Fp8.decodeTable(DType.E5M2); // [256]

    private CodeReader() {}

    /**
     * Reads neighbouring codes.
     *
     * @param codes of an operand format
     * @param from number of the first, counted with the rows' pitch
     * @param count how many
     * @param out receives the values from {@code at}
     */
    static void read(HostTensor codes, int from, int count, float[] out, int at) {
        switch (codes.dtype()) {
            case FP32 -> System.arraycopy(HostTensor.floats(codes), from, out, at, count);
            case BF16 -> readBf16(codes.shorts(), from, count, out, at);
            case FP16 -> readFp16(codes.shorts(), from, count, out, at);
            case INT8 -> readInt8(codes.bytes(), from, count, out, at);
            case E4M3 -> readFp8(E4M3, 3, codes.bytes(), from, count, out, at);
            case E5M2 -> readFp8(E5M2, 2, codes.bytes(), from, count, out, at);
            case INT4, UINT4, E3M0 -> NibbleReader.read(codes.dtype(), codes.bytes(), from, count, out, at);
            case E4M0 -> readE4m0(codes.bytes(), from, count, out, at);
            case INT32 ->
                throw new IllegalArgumentException(codes.label() + " is "
                        + codes.dtype().label() + ", but an operand needs one of the operand formats");
        }
    }

    private static void readInt8(byte[] codes, int from, int count, float[] out, int at) {
        int i = 0;
        for (; i <= count - ByteLanes.REACH; i += LANES.length()) {
            ((FloatVector) ByteLanes.load(codes, from + i).convertShape(VectorOperators.I2F, LANES, 0))
                    .intoArray(out, at + i);
        }
        for (; i < count; i++) {
            out[at + i] = codes[from + i];
        }
    }

    private static void readE4m0(byte[] codes, int from, int count, float[] out, int at) {
        int i = 0;
        for (; i <= count - ByteLanes.REACH; i += LANES.length()) {
            IntVector code = ByteLanes.load(codes, from + i);
            PowerLanes.value(code.and(0x7F), code).intoArray(out, at + i);
        }
        for (; i < count; i++) {
            out[at + i] = Nibbles.value(DType.E4M0, codes[from + i] & 0xFF);
        }
    }

    private static void readBf16(short[] codes, int from, int count, float[] out, int at) {
        int i = 0;
        for (; i <= count - LANES.length(); i += LANES.length()) {
            IntVector wide = (IntVector)
                    ShortVector.fromArray(SHORTS, codes, from + i).convertShape(VectorOperators.S2I, INTS, 0);
            wide.lanewise(VectorOperators.LSHL, 16).reinterpretAsFloats().intoArray(out, at + i);
        }
        for (; i < count; i++) {
            out[at + i] = Float.intBitsToFloat(codes[from + i] << 16);
        }
    }

    private static void readFp16(short[] codes, int from, int count, float[] out, int at) {
        for (int i = 0; i < count; i++) {
            out[at + i] = Float.float16ToFloat(codes[from + i]);
        }
    }

    private static void readFp8(float[] table, int mantissa, byte[] codes, int from, int count, float[] out, int at) {
        int i = 0;
        for (; i <= count - ByteLanes.REACH; i += LANES.length()) {
            decodeFp8(ByteLanes.load(codes, from + i), mantissa).intoArray(out, at + i);
        }
        for (; i < count; i++) {
            out[at + i] = table[codes[from + i] & 0xFF];
        }
    }

    private static FloatVector decodeFp8(IntVector code, int mantissa) {
        int bias = mantissa == 3 ? 7 : 15;
        IntVector magnitude = code.and(0x7F);
        IntVector shifted = magnitude.lanewise(VectorOperators.LSHL, 23 - mantissa);
        IntVector normal = shifted.add((127 - bias) << 23);
        // With an exponent of one, a subnormal code is too large by exactly that power of two.
        int smallest = (128 - bias) << 23;
        IntVector subnormal = shifted.add(smallest)
                .reinterpretAsFloats()
                .sub(Float.intBitsToFloat(smallest))
                .reinterpretAsInts();
        VectorMask<Integer> small = magnitude.compare(VectorOperators.LT, 1 << mantissa);
        VectorMask<Integer> special = magnitude.compare(VectorOperators.GE, mantissa == 3 ? 0x7F : 0x7C);
        IntVector bits = normal.blend(subnormal, small).blend(shifted.or(0x7F800000), special);
        return bits.or(code.and(0x80).lanewise(VectorOperators.LSHL, 24)).reinterpretAsFloats();
    }
}
