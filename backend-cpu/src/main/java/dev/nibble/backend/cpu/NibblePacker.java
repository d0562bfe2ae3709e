package dev.nibble.backend.cpu;

import dev.nibble.tensor.Nibbles;
import jdk.incubator.vector.ByteVector;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorShape;
import jdk.incubator.vector.VectorSpecies;

/** Puts codes of one byte each, of which the low half counts, two into a byte: {@link Nibbles}. */
final class NibblePacker {
    private static final VectorSpecies<Short> PAIRS = ShortVector.SPECIES_PREFERRED;
    private static final VectorSpecies<Byte> CODES = ByteVector.SPECIES_PREFERRED;
    private static final VectorSpecies<Byte> PACKED =
            VectorSpecies.of(byte.class, VectorShape.forBitSize(PAIRS.vectorBitSize() / 2));

    private NibblePacker() {}

    /**
     * Packs a run of codes. What lies beside its ends in the same byte keeps its value.
     *
     * @param codes one a byte from index 0
     * @param count codes in the run
     * @param packed receives the codes
     * @param element number of the first one, counted with the rows' pitch
     */
    static void pack(byte[] codes, int count, byte[] packed, int element) {
        int head = Math.min(count, element & 1);
        if (head > 0) {
            Nibbles.set(packed, element, codes[0]);
        }
        int pairs = (count - head) / 2;
        int to = (element + head) / 2;
        int done = head == 0 ? packVectors(codes, pairs, packed, to) : 0;
        for (int i = done; i < pairs; i++) {
            packed[to + i] = (byte) ((codes[head + 2 * i] & 0xF) | (codes[head + 2 * i + 1] << 4));
        }
        if (head + 2 * pairs < count) {
            Nibbles.set(packed, element + count - 1, codes[count - 1]);
        }
    }

    /** {@return how many pairs were packed} */
    private static int packVectors(byte[] codes, int pairs, byte[] packed, int to) {
        int whole = PAIRS.loopBound(pairs);
        for (int i = 0; i < whole; i += PAIRS.length()) {
            ShortVector pair = ByteVector.fromArray(CODES, codes, 2 * i).reinterpretAsShorts();
            ShortVector upper = pair.lanewise(VectorOperators.LSHR, 4).and((short) 0xF0);
            pair.and((short) 0xF)
                    .or(upper)
                    .convertShape(VectorOperators.S2B, PACKED, 0)
                    .reinterpretAsBytes()
                    .intoArray(packed, to + i);
        }
        return whole;
    }
}
