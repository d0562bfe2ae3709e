package dev.nibble.backend.cpu;

import dev.nibble.host.HostTensor;
import java.util.ArrayList;
import java.util.List;

/**
 * Rounds stretches of rows: scales, draws, rounds and stores, a part at a time that stays in the L1 cache. For one
 * thread.
 */
final class StretchRounder {
    private static final int PART = 1024;

    private final PlaneRounding rounding;
    private final Pass[] passes;
    private final Stretch stretch;
    private float[] x = new float[0]; // what is being rounded, from its place on
    private int from;
    private float[] multipliers = new float[0]; // one an element, from their place on
    private int multipliersFrom;
    private int row;
    private int col;
    private long beyond;

    /**
     * Makes the working memory of one thread.
     *
     * @param divisor of all elements
     * @param numbers whether scaled elements are numbers, infinity included
     */
    StretchRounder(PlaneRounding rounding, float divisor, boolean numbers) {
        this.rounding = rounding;
        stretch = new Stretch(PART, rounding.drawn(), rounding.codes().size());
        passes = passes(divisor, rounding.integer() && !numbers);
    }

    private Pass[] passes(float divisor, boolean dropNan) {
        List<Pass> all = new ArrayList<>();
        if (divisor == 1) {
            all.add(s -> ScaleLanes.multiply(x, from, s.count, multipliers, multipliersFrom, s.t));
        } else {
            all.add(s -> ScaleLanes.divide(x, from, s.count, divisor, s.t));
        }
        if (dropNan) {
            all.add(s -> ScaleLanes.dropNan(s.t, s.count));
        }
        if (rounding.counted()) {
            all.add(s -> beyond += ScaleLanes.beyond(s.t, s.count, rounding.low(), rounding.high()));
        }
        if (rounding.drawn()) {
            all.add(this::draw);
        }
        all.addAll(rounding.passes());
        all.add(this::store);
        return all.toArray(Pass[]::new);
    }

    private void draw(Stretch s) {
        s.wordAt = PhiloxLanes.words(rounding.stream(), row * rounding.cols() + col, s.count, s.words);
    }

    private void store(Stretch s) {
        for (int plane = 0; plane < rounding.codes().size(); plane++) {
            HostTensor target = rounding.codes().get(plane);
            int element = row * (int) target.dtype().pitch(rounding.cols()) + col;
            if (target.dtype().packed()) {
                NibblePacker.pack(s.codes[plane], s.count, target.bytes(), element);
            } else {
                System.arraycopy(s.codes[plane], 0, target.bytes(), element, s.count);
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
            stretch.count = Math.min(PART, length - done);
            for (Pass pass : passes) {
                pass.run(stretch);
            }
        }
    }
}
