package dev.nibble.reference;

import dev.nibble.spi.AdamW;
import dev.nibble.spi.Control;
import dev.nibble.spi.Lion;
import dev.nibble.spi.Sgd;
import dev.nibble.spi.StableAdamW;
import dev.nibble.spi.UpdateRule;

/**
 * One update of a tensor by a rule other than AdamW, with its numbers settled. Each operation is rounded to FP32, in the order
 * that the methods state, so that every backend has the same bits.
 */
final class ReferenceUpdates {
    private static final int CHUNK = 1 << 15; // elements of a task

    private final Tasks tasks;
    private final ReferenceOptimizer.SquareSum squares;
    private final UpdateRule rule;
    private final boolean decay;
    private final float learningRate;
    private final float clip;
    private final float updates;

    /**
     * Settles the numbers.
     *
     * @param control values of {@link Control}
     */
    ReferenceUpdates(
            Tasks tasks,
            ReferenceOptimizer.SquareSum squares,
            UpdateRule rule,
            boolean decay,
            float learningRate,
            float[] control) {
        this.tasks = tasks;
        this.squares = squares;
        this.rule = rule;
        this.decay = decay;
        this.learningRate = learningRate;
        this.clip = control[Control.CLIP.ordinal()];
        this.updates = control[Control.UPDATES.ordinal()];
    }

    /**
     * Updates a tensor.
     *
     * @param parameter p, [elements]
     * @param gradient [elements]
     * @param states what the rule remembers, [states][elements]
     */
    void update(float[] parameter, float[] gradient, float[][] states) {
        float weightDecay = decay ? rule.weightDecay() : 0f;
        switch (rule) {
            case AdamW adamW -> throw new IllegalArgumentException(adamW + " has a code of its own");
            case StableAdamW stable -> stableAdamW(stable, weightDecay, parameter, gradient, states[0], states[1]);
            case Lion lion ->
                tasks.forEachChunk(
                        parameter.length,
                        CHUNK,
                        (from, to) -> lion(lion, weightDecay, parameter, gradient, states[0], from, to));
            case Sgd sgd
            when sgd.momentum() == 0 ->
                tasks.forEachChunk(
                        parameter.length, CHUNK, (from, to) -> descend(weightDecay, parameter, gradient, from, to));
            case Sgd sgd ->
                tasks.forEachChunk(
                        parameter.length,
                        CHUNK,
                        (from, to) -> momentum(sgd, weightDecay, parameter, gradient, states[0], from, to));
        }
    }

    /** {@code p = fma(-learningRate, fma(weightDecay, p, gradient · clip), p)}. */
    private void descend(float weightDecay, float[] p, float[] gradient, int from, int to) {
        for (int i = from; i < to; i++) {
            p[i] = Math.fma(-learningRate, Math.fma(weightDecay, p[i], gradient[i] * clip), p[i]);
        }
    }

    /**
     * {@code g = gradient · clip; m = fma(momentum, m, g); u = nesterov ? fma(momentum, m, g) : m; p = fma(-learningRate,
     * fma(weightDecay, p, u), p)}.
     */
    private void momentum(Sgd sgd, float weightDecay, float[] p, float[] gradient, float[] m, int from, int to) {
        float momentum = sgd.momentum();
        boolean nesterov = sgd.nesterov();
        for (int i = from; i < to; i++) {
            float g = gradient[i] * clip;
            float moment = Math.fma(momentum, m[i], g);
            float u = nesterov ? Math.fma(momentum, moment, g) : moment;
            m[i] = moment;
            p[i] = Math.fma(-learningRate, Math.fma(weightDecay, p[i], u), p[i]);
        }
    }

    /**
     * {@code g = gradient · clip; c = fma(beta1, m, (1 - beta1) · g); p = fma(-learningRate, fma(weightDecay, p, sign(c)), p); m =
     * fma(beta2, m, (1 - beta2) · g)}; the sign of ±0 is ±0, that of NaN is NaN.
     */
    private void lion(Lion lion, float weightDecay, float[] p, float[] gradient, float[] m, int from, int to) {
        float beta1 = lion.beta1();
        float beta2 = lion.beta2();
        float rest1 = 1f - beta1;
        float rest2 = 1f - beta2;
        for (int i = from; i < to; i++) {
            float g = gradient[i] * clip;
            float sign = sign(Math.fma(beta1, m[i], rest1 * g));
            m[i] = Math.fma(beta2, m[i], rest2 * g);
            p[i] = Math.fma(-learningRate, Math.fma(weightDecay, p[i], sign), p[i]);
        }
    }

    /** {@link Math#signum}, of operations that the compiler turns into vector code: 2^200 lifts the smallest number above 1. */
    private static float sign(float c) {
        return Math.max(-1f, Math.min(1f, c * 0x1p100f * 0x1p100f));
    }

    /**
     * With m, v and u as {@link ReferenceAdamW}, and n elements: {@code ratio = g / max(sqrt(v · c2), epsilon)}, the sum of the squares
     * of ratio in the order of {@link ReferenceGradientNorm}, {@code rms = (float) sqrt(sum / n)} in FP64, {@code rate =
     * learningRate / max(1, rms)}, {@code p = fma(-rate, fma(weightDecay, p, u), p)}. The greater of NaN and a number is NaN.
     */
    private void stableAdamW(
            StableAdamW stable, float weightDecay, float[] p, float[] gradient, float[] first, float[] second) {
        ReferenceAdamW adamW = ReferenceAdamW.of(stable.adamW(), decay, learningRate, clip, updates);
        int chunk = ReferenceGradientNorm.CHUNK;
        double[] partials = new double[Math.ceilDiv(p.length, chunk)]; // [chunks]
        tasks.forEachChunk(p.length, chunk, (from, to) -> {
            float[] ratios = new float[to - from]; // [elements of the chunk]
            moments(adamW, gradient, first, second, ratios, from);
            partials[from / chunk] = squares.of(ratios, 0, ratios.length);
        });
        double sum = 0;
        for (double partial : partials) {
            sum += partial;
        }
        float rate = learningRate / Math.max(1f, (float) Math.sqrt(sum / p.length));
        tasks.forEachChunk(p.length, CHUNK, (from, to) -> apply(adamW, rate, weightDecay, p, first, second, from, to));
    }

    private static void moments(
            ReferenceAdamW adamW, float[] gradient, float[] first, float[] second, float[] ratios, int from) {
        float clip = adamW.clip();
        float beta1 = adamW.spec().beta1();
        float beta2 = adamW.spec().beta2();
        float rest1 = 1f - beta1;
        float rest2 = 1f - beta2;
        float epsilon = adamW.spec().epsilon();
        float correction = adamW.secondCorrection();
        for (int i = 0; i < ratios.length; i++) {
            float g = gradient[from + i] * clip;
            float v = Math.fma(beta2, second[from + i], rest2 * g * g);
            first[from + i] = Math.fma(beta1, first[from + i], rest1 * g);
            second[from + i] = v;
            ratios[i] = g / Math.max((float) Math.sqrt(v * correction), epsilon);
        }
    }

    private static void apply(
            ReferenceAdamW adamW,
            float rate,
            float weightDecay,
            float[] p,
            float[] first,
            float[] second,
            int from,
            int to) {
        float epsilon = adamW.spec().epsilon();
        float correction1 = adamW.firstCorrection();
        float correction2 = adamW.secondCorrection();
        for (int i = from; i < to; i++) {
            float u = first[i] * correction1 / ((float) Math.sqrt(second[i] * correction2) + epsilon);
            p[i] = Math.fma(-rate, Math.fma(weightDecay, p[i], u), p[i]);
        }
    }
}
