package dev.nibble.backend.cpu;

import jdk.incubator.vector.ByteVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorShape;
import jdk.incubator.vector.VectorSpecies;

/** Codes as bytes in memory, as integers in the lanes of a vector. */
final class ByteLanes {
    // A 128-bit unit has no byte vector with as many lanes as it has floats: it moves twice as many bytes.
    private static final VectorSpecies<Byte> BYTES =
            VectorSpecies.of(byte.class, VectorShape.forBitSize(Math.max(64, TileKernel.LANES.vectorBitSize() / 4)));

    /** Bytes that may be read or written from the place of a vector's first code on. */
    static final int REACH = BYTES.length();

    private ByteLanes() {}

    /** Writes the low byte of each lane; bytes after them, up to {@link #REACH}, become 0. */
    static void store(IntVector codes, byte[] to, int at) {
        codes.convertShape(VectorOperators.I2B, BYTES, 0).reinterpretAsBytes().intoArray(to, at);
    }

    /** {@return bytes, each with its sign} Reads up to {@link #REACH}. */
    static IntVector load(byte[] from, int at) {
        return (IntVector)
                ByteVector.fromArray(BYTES, from, at).convertShape(VectorOperators.B2I, IntVector.SPECIES_PREFERRED, 0);
    }
}
