package dev.nibble.models.layers;

/** What the blocks of a {@link Decoder} are made of. */
public enum DecoderStyle {
    /** Rotated positions, RMSNorm, SwiGLU, no biases (Touvron et al. 2023, arXiv:2302.13971). */
    LLAMA("Llama"),
    /** Learned positions, LayerNorm, GELU, biases; the head uses the embedding's table (Radford et al. 2019). */
    GPT2("GPT-2");

    private final String label;

    DecoderStyle(String label) {
        this.label = label;
    }

    /** {@return what people call it} */
    String label() {
        return label;
    }
}
