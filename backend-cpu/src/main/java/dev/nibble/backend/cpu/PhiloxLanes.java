package dev.nibble.backend.cpu;

import dev.nibble.random.RandomStream;
import jdk.incubator.vector.LongVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorShuffle;
import jdk.incubator.vector.VectorSpecies;

/**
 * The words of a {@link RandomStream}, several blocks of Philox4x32-10 at a time: one 32-bit counter word in the
 * lower half of each 64-bit lane, so that a lane holds a whole product.
 */
final class PhiloxLanes {
    private static final VectorSpecies<Long> LANES = LongVector.SPECIES_PREFERRED;
    private static final int WIDTH = LANES.length();
    private static final VectorShuffle<Long> LOWER = VectorShuffle.makeZip(LANES, 0);
    private static final VectorShuffle<Long> UPPER = VectorShuffle.makeZip(LANES, 1);
    private static final LongVector COUNT = LongVector.zero(LANES).addIndex(1);
    private static final int ROUNDS = 10;
    private static final long MULTIPLIER_0 = 0xD2511F53L;
    private static final long MULTIPLIER_1 = 0xCD9E8D57L;
    private static final int WEYL_0 = 0x9E3779B9;
    private static final int WEYL_1 = 0xBB67AE85;
    private static final long LOW_32 = 0xFFFFFFFFL;

    private PhiloxLanes() {}

    /** {@return the smallest length of an array that holds the words of this many elements, wherever they start} */
    static int capacity(int elements) {
        return elements + 8 * 4 * WIDTH;
    }

    /**
     * Writes the words of neighbouring elements.
     *
     * @param first index of the first element
     * @param count how many
     * @param words receives the words, [{@link #capacity}]
     * @return where the word of the first element is
     */
    static int words(RandomStream stream, int first, int count, int[] words) {
        int firstQuad = first >>> 2;
        int endQuad = ((first + count - 1) >>> 2) + 1;
        int at = 0;
        for (int quad = firstQuad; quad < endQuad; quad += WIDTH, at += 4 * WIDTH) {
            quads(stream, quad, words, at);
        }
        return first & 3;
    }

    /** {@return the last word of the counter} */
    static int address(RandomStream stream) {
        return stream.site() << 12 | stream.role().code() << 8 | stream.purpose() << 4 | stream.sample();
    }

    private static void quads(RandomStream stream, int quad, int[] words, int at) {
        // Element numbers are below 2^31: the counter's second word has nothing of them.
        LongVector c0 = COUNT.add(quad & LOW_32);
        LongVector c1 = LongVector.broadcast(LANES, stream.microBatch() << 8 & LOW_32);
        LongVector c3 = LongVector.broadcast(LANES, address(stream) & LOW_32);
        // C2 multiplies 32 by 32 bits, three times as fast as 64 by 64, where it sees both inputs masked.
        LongVector m0 = LongVector.broadcast(LANES, MULTIPLIER_0).and(LOW_32);
        LongVector m1 = LongVector.broadcast(LANES, MULTIPLIER_1).and(LOW_32);
        int k0 = (int) stream.seed();
        int k1 = (int) (stream.seed() >>> 32);
        // Turned round, so that what is multiplied is masked in the same iteration. The upper halves of the other
        // lanes hold anything: only products and results are cut.
        LongVector p0 = c0.and(LOW_32).mul(m0);
        LongVector p1 = LongVector.broadcast(LANES, (stream.step() & LOW_32) * MULTIPLIER_1);
        for (int round = 1; round < ROUNDS; round++) {
            c0 = mix(p1, c1, k0);
            LongVector c2 = mix(p0, c3, k1);
            c1 = p1;
            c3 = p0;
            p0 = c0.and(LOW_32).mul(m0);
            p1 = c2.and(LOW_32).mul(m1);
            k0 += WEYL_0;
            k1 += WEYL_1;
        }
        c0 = mix(p1, c1, k0).and(LOW_32);
        LongVector c2 = mix(p0, c3, k1).and(LOW_32);
        LongVector front = p1.lanewise(VectorOperators.LSHL, 32).or(c0); // words 0 and 1 of each block
        LongVector back = p0.lanewise(VectorOperators.LSHL, 32).or(c2); // words 2 and 3
        front.rearrange(LOWER, back).reinterpretAsInts().intoArray(words, at);
        front.rearrange(UPPER, back).reinterpretAsInts().intoArray(words, at + 2 * WIDTH);
    }

    private static LongVector mix(LongVector product, LongVector word, int key) {
        return product.lanewise(VectorOperators.LSHR, 32)
                .lanewise(VectorOperators.XOR, word)
                .lanewise(VectorOperators.XOR, key & LOW_32);
    }
}
