package dev.nibble.backend.cpu;

import dev.nibble.reference.Hadamard;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorShuffle;
import jdk.incubator.vector.VectorSpecies;

/**
 * {@link Hadamard} in vectors, bit for bit. A butterfly within a vector adds it to its own lanes exchanged, with the
 * sign of the upper lane of each pair turned: {@code b + (-a)} is {@code b - a} exactly.
 */
final class HadamardLanes {
    private static final VectorSpecies<Float> LANES = TileKernel.LANES;
    private static final int WIDTH = LANES.length();
    private static final int LOG2_WIDTH = Integer.numberOfTrailingZeros(WIDTH);
    private static final int LARGEST_WIDTH = 16;
    private static final int PART = 2048; // elements that pass through all butterflies while they are in the L1 cache

    private static final VectorShuffle<Float> SWAP_1 = swap(1);
    private static final VectorShuffle<Float> SWAP_2 = swap(2);
    private static final VectorShuffle<Float> SWAP_4 = swap(4);
    private static final VectorShuffle<Float> SWAP_8 = swap(8);
    private static final VectorMask<Float> UPPER_1 = upper(1);
    private static final VectorMask<Float> UPPER_2 = upper(2);
    private static final VectorMask<Float> UPPER_4 = upper(4);
    private static final VectorMask<Float> UPPER_8 = upper(8);

    private HadamardLanes() {}

    private static VectorShuffle<Float> swap(int stride) {
        return VectorShuffle.fromOp(LANES, lane -> (lane ^ stride) % WIDTH);
    }

    private static VectorMask<Float> upper(int stride) {
        boolean[] upper = new boolean[WIDTH]; // [lanes]
        for (int lane = 0; lane < WIDTH; lane++) {
            upper[lane] = (lane & stride) != 0;
        }
        return VectorMask.fromArray(LANES, upper, 0);
    }

    /** {@link Hadamard#transform}. */
    static void transform(float[] x, int from, int length, int log2) {
        if (log2 == 0) {
            return;
        }
        int size = 1 << log2;
        if (log2 < LOG2_WIDTH || WIDTH > LARGEST_WIDTH) {
            shortRuns(x, from, length, log2);
            return;
        }
        float norm = Hadamard.norm(log2);
        int part = Math.max(size, PART / size * size);
        for (int at = 0; at < length; at += part) {
            int count = Math.min(part, length - at);
            withinVectors(x, from + at, count, log2 == LOG2_WIDTH ? norm : 1);
            for (int stride = WIDTH; stride < size; stride *= 2) {
                betweenVectors(x, from + at, count, stride, 2 * stride == size ? norm : 1);
            }
        }
    }

    /** Runs shorter than a vector. */
    private static void shortRuns(float[] x, int from, int length, int log2) {
        int whole = WIDTH > LARGEST_WIDTH ? 0 : LANES.loopBound(length);
        float norm = Hadamard.norm(log2);
        for (int part = 0; part < whole; part += PART) {
            int count = Math.min(PART, whole - part);
            exchange(x, from + part, count, SWAP_1, UPPER_1, log2 == 1 ? norm : 1);
            if (log2 >= 2) {
                exchange(x, from + part, count, SWAP_2, UPPER_2, log2 == 2 ? norm : 1);
            }
            if (log2 >= 3) {
                exchange(x, from + part, count, SWAP_4, UPPER_4, norm);
            }
        }
        Hadamard.transform(x, from + whole, length - whole, log2);
    }

    /** One stride within vectors. */
    private static void exchange(
            float[] x, int from, int count, VectorShuffle<Float> swap, VectorMask<Float> upper, float norm) {
        for (int i = from; i < from + count; i += WIDTH) {
            FloatVector v = FloatVector.fromArray(LANES, x, i);
            v.rearrange(swap)
                    .add(v.lanewise(VectorOperators.NEG, upper))
                    .mul(norm)
                    .intoArray(x, i);
        }
    }

    /** All strides below the length of a vector. Multiplying by 1 changes nothing. */
    private static void withinVectors(float[] x, int from, int count, float norm) {
        for (int i = from; i < from + count; i += WIDTH) {
            FloatVector v = FloatVector.fromArray(LANES, x, i);
            v = v.rearrange(SWAP_1).add(v.lanewise(VectorOperators.NEG, UPPER_1));
            v = v.rearrange(SWAP_2).add(v.lanewise(VectorOperators.NEG, UPPER_2));
            if (WIDTH >= 8) {
                v = v.rearrange(SWAP_4).add(v.lanewise(VectorOperators.NEG, UPPER_4));
            }
            if (WIDTH >= 16) {
                v = v.rearrange(SWAP_8).add(v.lanewise(VectorOperators.NEG, UPPER_8));
            }
            v.mul(norm).intoArray(x, i);
        }
    }

    private static void betweenVectors(float[] x, int from, int count, int stride, float norm) {
        for (int run = from; run < from + count; run += 2 * stride) {
            for (int i = run; i < run + stride; i += WIDTH) {
                FloatVector a = FloatVector.fromArray(LANES, x, i);
                FloatVector b = FloatVector.fromArray(LANES, x, i + stride);
                a.add(b).mul(norm).intoArray(x, i);
                a.sub(b).mul(norm).intoArray(x, i + stride);
            }
        }
    }
}
