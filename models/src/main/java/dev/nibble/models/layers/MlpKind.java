package dev.nibble.models.layers;

import dev.nibble.spi.Gelu;
import dev.nibble.spi.NeuralOps;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.Tensor;

/** What stands between the linear layers of a {@link Mlp}. */
public enum MlpKind {
    /** {@code gate · sigmoid(gate) · up} (Shazeer 2020, arXiv:2002.05202); the first linear layer makes gate and up. */
    SWIGLU("SwiGLU", "gateUp", 2),
    /** {@code max(x, 0)}: the input of the second linear layer is never negative, and the backward pass reads it. */
    RELU("ReLU", "up", 1),
    /** {@link Gelu#EXACT}: the way of BERT. */
    GELU("GELU", "up", 1),
    /** {@link Gelu#TANH}: the way of GPT-2. */
    GELU_TANH("GELU (tanh)", "up", 1);

    private final String label;
    private final String firstLayer;
    private final int firstOutputs;

    MlpKind(String label, String firstLayer, int firstOutputs) {
        this.label = label;
        this.firstLayer = firstLayer;
        this.firstOutputs = firstOutputs;
    }

    /** {@return the feed-forward layer with a form of GELU} */
    public static MlpKind of(Gelu form) {
        return form == Gelu.TANH ? GELU_TANH : GELU;
    }

    /** {@return the name of the function between the linear layers} */
    String label() {
        return label;
    }

    /** {@return the name of the first linear layer} */
    String firstLayer() {
        return firstLayer;
    }

    /** {@return features that the first linear layer makes for each hidden one} */
    int firstOutputs() {
        return firstOutputs;
    }

    /** {@return whether the backward pass reads what the function made, and not what it read} */
    boolean keepsOutput() {
        return this == RELU;
    }

    /** {@return [tokens, hidden], owned by the caller} */
    Tensor apply(NeuralOps neural, StepScope scope, Tensor x) {
        return switch (this) {
            case SWIGLU -> neural.swiGlu(scope, x);
            case RELU -> neural.relu(scope, x);
            case GELU -> neural.gelu(scope, x, Gelu.EXACT);
            case GELU_TANH -> neural.gelu(scope, x, Gelu.TANH);
        };
    }

    /**
     * {@return the gradient of what the function read, owned by the caller}
     *
     * @param kept what it made or read: see {@link #keepsOutput}
     */
    Tensor gradient(NeuralOps neural, StepScope scope, Tensor gradOutput, Tensor kept) {
        return switch (this) {
            case SWIGLU -> neural.swiGluBackward(scope, gradOutput, kept);
            case RELU -> neural.reluBackward(scope, gradOutput, kept);
            case GELU -> neural.geluBackward(scope, gradOutput, kept, Gelu.EXACT);
            case GELU_TANH -> neural.geluBackward(scope, gradOutput, kept, Gelu.TANH);
        };
    }
}
