package dev.nibble.testkit.run;

import dev.nibble.testkit.data.DrawMoments;
import java.util.Arrays;
import java.util.stream.IntStream;

/** How far the mean dW of a layer over many draws is from the exact one, in standard errors. */
public final class GradientBias {
    private final double[] exact; // [out · in]
    private final double[] slack; // [out · in]
    private final DrawMoments moments;
    private double along; // sum of the errors' components along exact
    private double alongSquares;

    /**
     * Starts without a draw.
     *
     * @param exact dW, [out · in]
     * @param slack how far FP32 may take the mean of an element from it, [out · in]
     */
    GradientBias(double[] exact, double[] slack) {
        this.exact = exact;
        this.slack = slack;
        this.moments = new DrawMoments(exact);
    }

    void add(float[] gradient) {
        double[] draw = new double[exact.length]; // [out · in]
        double component = 0;
        for (int i = 0; i < draw.length; i++) {
            draw[i] = gradient[i];
            component += (draw[i] - exact[i]) * exact[i];
        }
        moments.add(draw);
        along += component;
        alongSquares += component * component;
    }

    private double standardError(int element) {
        return Math.sqrt(moments.variance(element) / moments.draws());
    }

    /** {@return the distance of the element that is farthest, beyond what FP32 explains} */
    public double largest() {
        return largest(this);
    }

    /** {@return the distance of the element that is farthest, in the standard errors of other draws: of a mean without any} */
    public double largest(GradientBias others) {
        double largest = 0;
        for (int i = 0; i < exact.length; i++) {
            double beyond = Math.abs(moments.bias(i)) - slack[i];
            largest = beyond <= 0 ? largest : Math.max(largest, beyond / others.standardError(i));
        }
        return largest;
    }

    /**
     * {@return the distance along the exact gradient: it shows what all elements have in common, such as shrinking} Roundings of either
     * sign do not add up along it, so nothing is allowed for them.
     */
    public double alongExact() {
        double mean = along / moments.draws();
        double variance = Math.max(0, alongSquares / moments.draws() - mean * mean);
        return Math.abs(mean) / Math.sqrt(variance / moments.draws());
    }

    /** {@return the standard error of the distance along the exact gradient, relative to its length: five of these would pass} */
    public double resolution() {
        double length = Arrays.stream(exact).map(v -> v * v).sum();
        return Math.sqrt(alongSquares) / moments.draws() / length;
    }

    /** {@return the share of the elements that draws move} */
    public double moving() {
        return IntStream.range(0, exact.length)
                        .filter(i -> standardError(i) > 0)
                        .count()
                / (double) exact.length;
    }
}
