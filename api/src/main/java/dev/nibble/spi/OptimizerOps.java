package dev.nibble.spi;

import dev.nibble.tensor.Tensor;
import java.util.List;

/** The update of the weights, decided on the device. */
public interface OptimizerOps {
    /**
     * Fills the {@link Control} vector: the norm of all gradients, {@code clip = min(1, maxNorm / norm)}, whether the
     * step is skipped (the norm is not finite, or an operand of this step was not), and the number of updates, which a
     * skipped step leaves alone.
     *
     * @param gradients all gradients
     * @param maxNorm largest norm that is not clipped
     * @param control FP32, [{@link Control#count()}]
     */
    void control(StepScope scope, List<Tensor> gradients, float maxNorm, Tensor control);

    /**
     * Updates one tensor with the learning rate of the step; does nothing in a skipped step.
     *
     * @param rule how
     * @param decay whether weight decay applies
     * @param parameter updated
     * @param gradient not modified
     * @param state what {@link UpdateRule#states} names, each with as many elements as the parameter; updated
     * @param control filled by {@link #control}
     */
    void update(
            StepScope scope,
            UpdateRule rule,
            boolean decay,
            Tensor parameter,
            Tensor gradient,
            List<Tensor> state,
            Tensor control);

    /**
     * Does what {@link #update} does, for the rule that most use.
     *
     * @param spec hyper-parameters
     * @param decay whether weight decay applies
     * @param parameter updated
     * @param gradient not modified
     * @param first first moment, updated
     * @param second second moment, updated
     * @param control filled by {@link #control}
     */
    void adamW(
            StepScope scope,
            AdamW spec,
            boolean decay,
            Tensor parameter,
            Tensor gradient,
            Tensor first,
            Tensor second,
            Tensor control);

    /**
     * Moves averages towards the tensors that they are averages of; does nothing in a skipped step. With t = {@link Control#UPDATES}: {@code
     * a = fma(1 - d, x - a, a)}, {@code d = min(decay, (1 + t) / (10 + t))}, so that an average of few updates is not one of first values.
     *
     * @param averages updated
     * @param values x, shaped like the averages, in their order; not modified
     * @param decay share of an average that stays, in (0, 1)
     * @param control filled by {@link #control}
     */
    void moveAverages(StepScope scope, List<Tensor> averages, List<Tensor> values, float decay, Tensor control);
}
