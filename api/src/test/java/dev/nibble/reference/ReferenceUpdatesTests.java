package dev.nibble.reference;

import static dev.nibble.host.HostTensor.floats;
import static dev.nibble.reference.Differences.U;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.spi.AdamW;
import dev.nibble.spi.Control;
import dev.nibble.spi.Lion;
import dev.nibble.spi.Sgd;
import dev.nibble.spi.StableAdamW;
import dev.nibble.spi.UpdateRule;
import dev.nibble.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Each rule against its formula in FP64, with the error of every rounding added up beside it. */
class ReferenceUpdatesTests {
    private static final int LENGTH = 4099; // two chunks of a sum
    private static final int UPDATES = 20;
    private static final float RATE = 1e-2f;
    private static final double ROUND = 1.001 * U; // the error of a rounding, products of errors included

    private final TestScope scope = TestScope.withLearningRate(RATE);
    private final ReferenceOptimizer ops = new ReferenceOptimizer(scope.runtime());
    private final Tensor control = scope.floats("control", new float[Control.count()], Control.count());

    /** The formula in FP64, with a bound on the error of the FP32 code. */
    private abstract static class Trace {
        final double[] p; // [LENGTH]
        final double[] bound = new double[LENGTH]; // [LENGTH]
        final double weightDecay;

        Trace(float[] start, double weightDecay) {
            this.p = Differences.widen(start);
            this.weightDecay = weightDecay;
        }

        abstract void update(float[] g, int t);

        /** {@code p -= rate · (u + weightDecay · p)}: two roundings, and the errors of p, u and the rate. */
        final void move(int i, double rate, double rateError, double u, double uError) {
            double inner = u + weightDecay * p[i];
            double innerError = uError + weightDecay * bound[i] + ROUND * Math.abs(inner);
            p[i] -= rate * inner;
            bound[i] += rate * innerError * 1.001 + rateError * Math.abs(inner) + ROUND * Math.abs(p[i]);
        }
    }

    private static Trace sgd(float[] start, Sgd rule, boolean decay) {
        double[] m = new double[LENGTH]; // [LENGTH]
        double[] error = new double[LENGTH]; // [LENGTH]
        double momentum = rule.momentum();
        return new Trace(start, decay ? rule.weightDecay() : 0) {
            @Override
            void update(float[] g, int t) {
                for (int i = 0; i < LENGTH; i++) {
                    m[i] = momentum * m[i] + g[i];
                    error[i] = momentum * error[i] + ROUND * Math.abs(m[i]);
                    double u = rule.nesterov() ? momentum * m[i] + g[i] : m[i];
                    double uError = rule.nesterov() ? momentum * error[i] + ROUND * Math.abs(u) : error[i];
                    move(i, RATE, 0, u, uError);
                }
            }
        };
    }

    private static Trace lion(float[] start, Lion rule, boolean decay) {
        double[] m = new double[LENGTH]; // [LENGTH]
        double[] error = new double[LENGTH]; // [LENGTH]
        double beta1 = rule.beta1();
        double beta2 = rule.beta2();
        return new Trace(start, decay ? rule.weightDecay() : 0) {
            @Override
            void update(float[] g, int t) {
                for (int i = 0; i < LENGTH; i++) {
                    double c = beta1 * m[i] + (1 - beta1) * g[i]; // 1 - beta is exact in FP32 from 0.5 on
                    double cError = beta1 * error[i] + ROUND * ((1 - beta1) * Math.abs(g[i]) + Math.abs(c));
                    assertTrue(Math.abs(c) > cError, "the sign is certain: another seed would be needed otherwise");
                    m[i] = beta2 * m[i] + (1 - beta2) * g[i];
                    error[i] = beta2 * error[i] + ROUND * ((1 - beta2) * Math.abs(g[i]) + Math.abs(m[i]));
                    move(i, RATE, 0, Math.signum(c), 0);
                }
            }
        };
    }

    /**
     * v is a sum of positive terms, each rounded at most three times and then once in every later update: its relative error is at most
     * (t + 3)·u. Correction, root, quotient and the mean's root add five: those of the ratio, the root of the mean square and the rate
     * are below (t + 8)·u. The step's error is that of AdamW, (8t + 10)·u of the absolute moment over the root.
     */
    private static final class StableTrace extends Trace {
        private final AdamW rule;
        private final boolean shortened;
        private final double[] m = new double[LENGTH]; // [LENGTH]
        private final double[] absolute = new double[LENGTH]; // [LENGTH]
        private final double[] v = new double[LENGTH]; // [LENGTH]
        private int shorter;

        StableTrace(float[] start, AdamW rule, boolean decay, boolean shortened) {
            super(start, decay ? rule.weightDecay() : 0);
            this.rule = rule;
            this.shortened = shortened;
        }

        @Override
        void update(float[] g, int t) {
            double beta1 = rule.beta1();
            double beta2 = rule.beta2();
            double correction1 = 1 - Math.pow(beta1, t);
            double correction2 = 1 - Math.pow(beta2, t);
            double squares = 0;
            for (int i = 0; i < LENGTH; i++) {
                m[i] = beta1 * m[i] + (1 - beta1) * g[i];
                absolute[i] = beta1 * absolute[i] + (1 - beta1) * Math.abs(g[i]);
                v[i] = beta2 * v[i] + (1 - beta2) * g[i] * g[i];
                squares += g[i] * (double) g[i] / Math.max(v[i] / correction2, Math.pow(rule.epsilon(), 2));
            }
            double divisor = shortened ? Math.max(1, Math.sqrt(squares / LENGTH)) : 1;
            shorter += divisor > 1.01 ? 1 : 0;
            double rate = RATE / divisor;
            for (int i = 0; i < LENGTH; i++) {
                double root = (Math.sqrt(v[i] / correction2) + rule.epsilon()) * correction1;
                move(i, rate, (t + 8) * ROUND * rate, m[i] / root, (8 * t + 10) * ROUND * absolute[i] / root);
            }
        }
    }

    /** {@return the parameter after the updates of a rule, and of its formula in the trace} */
    private float[] run(UpdateRule rule, boolean decay, float[] start, List<? extends Trace> traces) {
        Tensor p = scope.floats("p", start, LENGTH);
        List<Tensor> state = new ArrayList<>();
        rule.states().forEach(name -> state.add(scope.floats(name, new float[LENGTH], LENGTH)));
        SplittableRandom random = new SplittableRandom(7);
        for (int t = 1; t <= UPDATES; t++) {
            float[] g = Differences.normal(random, LENGTH, t % 5 == 0 ? 0.1 : 0.01); // now and then much larger
            Tensor gradient = scope.floats("g", g, LENGTH);
            ops.control(scope, List.of(gradient), 1e9f, control);
            ops.update(scope, rule, decay, p, gradient, state, control);
            for (Trace trace : traces) {
                trace.update(g, t);
            }
        }
        return floats(p);
    }

    private static float[] start() {
        return Differences.normal(new SplittableRandom(3), LENGTH, 1);
    }

    private static void assertFollows(Trace trace, float[] start, float[] actual) {
        for (int i = 0; i < LENGTH; i++) {
            assertEquals(trace.p[i], actual[i], trace.bound[i], "element " + i);
            assertTrue(trace.bound[i] < 1e-4 * (Math.abs(start[i]) + 0.1), "the bound says something about " + i);
        }
    }

    @ParameterizedTest
    @CsvSource({"0, false, true", "0.9, false, true", "0.9, false, false", "0.7, true, true"})
    void descentWithMomentumFollowsTheFormula(float momentum, boolean nesterov, boolean decay) {
        Sgd rule = new Sgd(momentum, nesterov, 0.1f);
        Trace trace = sgd(start(), rule, decay);
        assertFollows(trace, start(), run(rule, decay, start(), List.of(trace)));
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void lionFollowsTheFormula(boolean decay) {
        Lion rule = new Lion(0.9f, 0.99f, 0.3f);
        Trace trace = lion(start(), rule, decay);
        assertFollows(trace, start(), run(rule, decay, start(), List.of(trace)));
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void stableAdamWFollowsTheFormula(boolean decay) {
        AdamW adamW = new AdamW(0.9f, 0.95f, 1e-8f, 0.1f);
        StableTrace trace = new StableTrace(start(), adamW, decay, true);
        StableTrace plain = new StableTrace(start(), adamW, decay, false);
        float[] actual = run(new StableAdamW(adamW), decay, start(), List.of(trace, plain));
        assertFollows(trace, start(), actual);
        assertTrue(trace.shorter >= 3 && trace.shorter < UPDATES, trace.shorter + " steps are shortened");
        int far = 0;
        for (int i = 0; i < LENGTH; i++) {
            far += Math.abs(plain.p[i] - actual[i]) > plain.bound[i] ? 1 : 0;
        }
        assertTrue(far > LENGTH / 2, "without the shorter steps the formula is another one: " + far);
    }

    /** All ratios are 1 in the first update, so it is AdamW's but for roundings of the rate. */
    @Test
    void theFirstStepOfStableAdamWIsThatOfAdamW() {
        AdamW adamW = new AdamW(0.9f, 0.95f, 1e-8f, 0.1f);
        Tensor[] p = {scope.floats("p", start(), LENGTH), scope.floats("p", start(), LENGTH)}; // [2]
        Tensor g = scope.floats("g", Differences.normal(new SplittableRandom(1), LENGTH, 1), LENGTH);
        ops.control(scope, List.of(g), 1f, control);
        for (int i = 0; i < 2; i++) {
            List<Tensor> state =
                    List.of(scope.floats("m", new float[LENGTH], LENGTH), scope.floats("v", new float[LENGTH], LENGTH));
            ops.update(scope, i == 0 ? adamW : new StableAdamW(adamW), true, p[i], g, state, control);
        }
        for (int i = 0; i < LENGTH; i++) {
            float a = floats(p[0])[i];
            // the rate has at most 9 roundings more; a step is at most 1.1 rates of |1| + |p|
            assertEquals(a, floats(p[1])[i], 10 * U * RATE * (1.1 + 0.1 * Math.abs(a)) + U * Math.abs(a));
        }
    }

    /** With learning rate 1/100, no decay and a parameter of 0 the step is the sign, whatever the size. */
    @Test
    void lionTakesTheSignOfAnyNumber() {
        float[] g = {
            0f,
            -0f,
            Float.MIN_VALUE,
            -Float.MIN_VALUE,
            Float.MIN_NORMAL,
            -1e-30f,
            1f,
            -Float.MAX_VALUE,
            Float.POSITIVE_INFINITY,
            Float.NEGATIVE_INFINITY,
            Float.NaN
        }; // [11]
        floats(control)[Control.CLIP.ordinal()] = 1f;
        Tensor p = scope.floats("p", new float[g.length], g.length);
        Tensor m = scope.floats("m", new float[g.length], g.length);
        ops.update(scope, new Lion(0, 0, 0), true, p, scope.floats("g", g, g.length), List.of(m), control);
        for (int i = 0; i < g.length; i++) {
            assertEquals(-RATE * Math.signum(g[i]) + 0f, floats(p)[i], "sign of " + g[i]);
        }
    }

    static List<UpdateRule> rules() {
        AdamW adamW = new AdamW(0.9f, 0.95f, 1e-8f, 0.1f);
        return List.of(
                adamW,
                new StableAdamW(adamW),
                new Sgd(0, false, 0),
                new Sgd(0.9f, true, 0.1f),
                new Lion(0.9f, 0.99f, 1));
    }

    @ParameterizedTest
    @MethodSource("rules")
    void skippedStepChangesNothing(UpdateRule rule) {
        float[] start = {1f, 2f, 3f}; // [3]
        Tensor p = scope.floats("p", start, 3);
        List<Tensor> state = new ArrayList<>();
        rule.states().forEach(name -> state.add(scope.floats(name, start, 3)));
        Tensor g = scope.floats("g", new float[] {1f, Float.NaN, 1f}, 3);
        ops.control(scope, List.of(g), 1f, control);
        ops.update(scope, rule, true, p, g, state, control);
        assertArrayEquals(start, floats(p));
        state.forEach(tensor -> assertArrayEquals(start, floats(tensor)));
    }

    @ParameterizedTest
    @MethodSource("rules")
    void anotherNumberOfStatesIsRefused(UpdateRule rule) {
        Tensor x = scope.floats("x", new float[3], 3);
        List<Tensor> wrong = new ArrayList<>(List.of(x));
        rule.states().forEach(_ -> wrong.add(x));
        IllegalArgumentException e =
                assertThrows(IllegalArgumentException.class, () -> ops.update(scope, rule, true, x, x, wrong, control));
        assertTrue(e.getMessage().contains("needs " + rule.states()), e.getMessage());
    }

    @Test
    void hyperParametersOutOfRangeAreRefused() {
        for (float bad : new float[] {-0.1f, 1f, Float.NaN}) {
            assertThrows(IllegalArgumentException.class, () -> new Sgd(bad, false, 0));
            assertThrows(IllegalArgumentException.class, () -> new Lion(bad, 0.9f, 0));
            assertThrows(IllegalArgumentException.class, () -> new Lion(0.9f, bad, 0));
        }
        for (float bad : new float[] {-0.1f, Float.NaN, Float.POSITIVE_INFINITY}) {
            assertThrows(IllegalArgumentException.class, () -> new Sgd(0.9f, false, bad));
            assertThrows(IllegalArgumentException.class, () -> new Lion(0.9f, 0.9f, bad));
        }
        assertThrows(IllegalArgumentException.class, () -> new Sgd(0, true, 0));
    }
}
