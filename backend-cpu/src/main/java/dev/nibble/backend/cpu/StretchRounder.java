package dev.nibble.backend.cpu;

import dev.nibble.host.HostTensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Rounds stretches of rows: scales, draws, rounds and stores, a part at a time that stays in the L1 cache. For one
 * thread.
 */
final class StretchRounder {
    private static final int PART = 1024;
    private static final int ROOM = PART + Math.max(TileKernel.LANES.length(), ByteLanes.REACH);

    private final PlaneRounding rounding;
    private final float divisor;
    private final boolean numbers;
    private final Runnable[] stages;
    private final float[] scaled = new float[ROOM]; // [PART and a vector]
    private final int[] words;
    private final byte[][] codes; // [planes][PART and a vector]
    private float[] x = scaled; // what is being rounded, from its place on
    private int from;
    private float[] multipliers = scaled; // one an element, from their place on
    private int multipliersFrom;
    private int row;
    private int col;
    private int count;
    private int wordAt;
    private long beyond;

    /**
     * Makes the working memory of one thread.
     *
     * @param divisor of all elements
     * @param numbers whether scaled elements are numbers, infinity included
     */
    StretchRounder(PlaneRounding rounding, float divisor, boolean numbers) {
        this.rounding = rounding;
        this.divisor = divisor;
        this.numbers = numbers;
        words = new int[rounding.drawn() ? PhiloxLanes.capacity(PART) : 0];
        codes = new byte[rounding.codes().size()][ROOM];
        stages = stages();
    }

    /**
     * The stages are called through an interface that has many implementations, for the compiler's sake: C2 does not
     * inline such a call, so it compiles each stage alone. All stages in one method fill its node budget, and the
     * vectors of those that no longer fit are boxed, ten times slower.
     */
    private Runnable[] stages() {
        List<Runnable> all = new ArrayList<>();
        all.add(divisor == 1 ? this::multiply : this::divide);
        if (rounding.integer() && !numbers) {
            all.add(() -> ScaleLanes.dropNan(scaled, count));
        }
        if (rounding.counted()) {
            all.add(() -> beyond += ScaleLanes.beyond(scaled, count, rounding.low(), rounding.high()));
        }
        if (rounding.drawn()) {
            all.add(this::draw);
        }
        all.add(() -> rounding.kernel().round(scaled, words, wordAt, count, codes));
        all.add(this::store);
        return all.toArray(Runnable[]::new);
    }

    private void multiply() {
        ScaleLanes.multiply(x, from, count, multipliers, multipliersFrom, scaled);
    }

    private void divide() {
        ScaleLanes.divide(x, from, count, divisor, scaled);
    }

    private void draw() {
        wordAt = PhiloxLanes.words(rounding.stream(), row * rounding.cols() + col, count, words);
    }

    private void store() {
        for (int plane = 0; plane < codes.length; plane++) {
            HostTensor target = rounding.codes().get(plane);
            int element = row * (int) target.dtype().pitch(rounding.cols()) + col;
            if (target.dtype().packed()) {
                NibblePacker.pack(codes[plane], count, target.bytes(), element);
            } else {
                System.arraycopy(codes[plane], 0, target.bytes(), element, count);
            }
        }
    }

    /** {@return how many of the elements so far were beyond the range of the codes, if they are counted} */
    long beyond() {
        return beyond;
    }

    /**
     * Rounds neighbouring elements of a row.
     *
     * @param elements from {@code elementsFrom}
     * @param scales multipliers, one an element from {@code scalesFrom}; not read if there is a divisor other than 1
     * @param toRow where the codes go
     * @param toCol where the first code goes
     */
    void round(float[] elements, int elementsFrom, int length, float[] scales, int scalesFrom, int toRow, int toCol) {
        x = elements;
        multipliers = scales;
        row = toRow;
        for (int done = 0; done < length; done += PART) {
            from = elementsFrom + done;
            multipliersFrom = scalesFrom + done;
            col = toCol + done;
            count = Math.min(PART, length - done);
            for (Runnable stage : stages) {
                stage.run();
            }
        }
    }

    /** Writes code 0 to neighbouring elements of a row. */
    void zero(int length, int toRow, int toCol) {
        for (byte[] plane : codes) {
            Arrays.fill(plane, 0, Math.min(length, PART), (byte) 0);
        }
        row = toRow;
        for (int done = 0; done < length; done += PART) {
            col = toCol + done;
            count = Math.min(PART, length - done);
            store();
        }
    }
}
