package dev.nibble.models.layers;

/** What stands between the linear layers of a feed-forward layer. */
public enum MlpKind {
    /** {@link SwiGluMlp}: a gate. */
    SWIGLU("SwiGLU", "gateUp", 2),
    /** {@link ReluMlp}: the input of the second linear layer is never negative. */
    RELU("ReLU", "up", 1),
    /** {@link GeluMlp}: the way of BERT and GPT-2. */
    GELU("GELU", "up", 1);

    private final String label;
    private final String firstLayer;
    private final int firstOutputs;

    MlpKind(String label, String firstLayer, int firstOutputs) {
        this.label = label;
        this.firstLayer = firstLayer;
        this.firstOutputs = firstOutputs;
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
}
