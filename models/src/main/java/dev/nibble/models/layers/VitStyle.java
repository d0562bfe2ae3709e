package dev.nibble.models.layers;

/** What a {@link Vit} is made of. */
public enum VitStyle {
    /** RMSNorm, no biases: the layers of a Llama-style {@link Decoder}. */
    RMS,
    /** LayerNorm (epsilon 1e-5), biases in every linear layer, GELU (Touvron et al. 2020, arXiv:2012.12877). */
    DEIT
}
