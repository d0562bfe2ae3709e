package dev.nibble.models.data;

import dev.nibble.random.Purpose;
import dev.nibble.random.RandomStream;
import dev.nibble.tensor.Role;

/** In which order samples are trained on: a new one in each epoch, so that an epoch has each sample once. */
public final class EpochOrder {
    private final long seed;
    private final int count;
    private int orderEpoch = -1;
    private int[] order = new int[0]; // [samples]: of orderEpoch

    /**
     * Makes the orders of some samples.
     *
     * @param seed seed of the run
     * @param count how many samples there are
     */
    public EpochOrder(long seed, int count) {
        this.seed = seed;
        this.count = count;
    }

    /** {@return in which epoch a sample is met: number / samples} */
    public int epoch(long number) {
        return Math.toIntExact(number / count);
    }

    /**
     * {@return which sample is met} With n samples: element number mod n of the order of epoch number / n.
     *
     * @param number how many samples were met before, from the first step on
     */
    public int sample(long number) {
        return order(epoch(number))[(int) (number % count)];
    }

    /**
     * {@return the order of an epoch, [samples]} Fisher and Yates' shuffle of 0..n-1: for i = n-1 down to 1, elements i and
     * {@code r mod (i + 1)} change places, r the 64 bits of draws 2i and 2i + 1 of the epoch's stream.
     */
    private int[] order(int epoch) {
        if (epoch != orderEpoch) {
            RandomStream stream = new RandomStream(seed, epoch, 0, 0, Role.OTHER, Purpose.DATA_ORDER, 0);
            int[] shuffled = new int[count]; // [samples]
            for (int i = 0; i < shuffled.length; i++) {
                shuffled[i] = i;
            }
            for (int i = shuffled.length - 1; i > 0; i--) {
                long high = stream.word(2L * i) & 0xFFFFFFFFL;
                long low = stream.word(2L * i + 1) & 0xFFFFFFFFL;
                int other = (int) Long.remainderUnsigned((high << 32) | low, i + 1L);
                int kept = shuffled[i];
                shuffled[i] = shuffled[other];
                shuffled[other] = kept;
            }
            order = shuffled;
            orderEpoch = epoch;
        }
        return order;
    }
}
