package dev.nibble.reference;

import dev.nibble.spi.AdamW;

/**
 * One update of AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101) with its numbers settled.
 *
 * @param spec hyper-parameters
 * @param learningRate learning rate
 * @param weightDecay 0 if none applies
 * @param clip factor of the gradient
 * @param firstCorrection {@code 1 / (1 - beta1^t)}
 * @param secondCorrection {@code 1 / (1 - beta2^t)}
 */
public record ReferenceAdamW(
        AdamW spec, float learningRate, float weightDecay, float clip, float firstCorrection, float secondCorrection) {
    /**
     * {@return the update with this number} The corrections are computed in FP64.
     *
     * @param updates updates so far, this one included, at least 1
     */
    public static ReferenceAdamW of(AdamW spec, boolean decay, float learningRate, float clip, float updates) {
        return new ReferenceAdamW(
                spec,
                learningRate,
                decay ? spec.weightDecay() : 0f,
                clip,
                (float) (1 / (1 - StrictMath.pow(spec.beta1(), updates))),
                (float) (1 / (1 - StrictMath.pow(spec.beta2(), updates))));
    }

    /**
     * Updates elements {@code from} to {@code to - 1}: {@code g = gradient · clip; m = fma(beta1, m, (1 - beta1) ·
     * g); v = fma(beta2, v, ((1 - beta2) · g) · g); u = m · c1 / (sqrt(v · c2) + epsilon); p = fma(-learningRate,
     * fma(weightDecay, p, u), p)}, each operation rounded to FP32.
     *
     * @param parameter p, [elements]
     * @param gradient [elements]
     * @param first m, [elements]
     * @param second v, [elements]
     */
    public void update(float[] parameter, float[] gradient, float[] first, float[] second, int from, int to) {
        float beta1 = spec.beta1();
        float beta2 = spec.beta2();
        float rest1 = 1f - beta1;
        float rest2 = 1f - beta2;
        float epsilon = spec.epsilon();
        for (int i = from; i < to; i++) {
            float g = gradient[i] * clip;
            float m = Math.fma(beta1, first[i], rest1 * g);
            float v = Math.fma(beta2, second[i], rest2 * g * g);
            first[i] = m;
            second[i] = v;
            float u = m * firstCorrection / ((float) Math.sqrt(v * secondCorrection) + epsilon);
            parameter[i] = Math.fma(-learningRate, Math.fma(weightDecay, parameter[i], u), parameter[i]);
        }
    }
}
