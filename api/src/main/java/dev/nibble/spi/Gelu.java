package dev.nibble.spi;

/**
 * Which function GELU (Hendrycks and Gimpel 2016, arXiv:1606.08415) is: its definition, or an approximation that models were trained
 * with.
 */
public enum Gelu {
    /** {@code x · Φ(x)}, as in BERT; the {@code gelu} of Hugging Face's transformers. */
    EXACT,
    /**
     * {@code x · (1 + tanh(sqrt(2/π) · (x + 0.044715 · x³))) / 2}, as in GPT-2; the {@code gelu_new} and {@code gelu_pytorch_tanh} of Hugging
     * Face's transformers. It is within 5e-4 of {@link #EXACT}.
     */
    TANH
}
