package dev.nibble.random;

/** What a draw is for, so that two uses of one tensor never share a stream. At most 16. */
public final class Purpose {
    /** Rounding the codes that the untransposed operand uses, and their exact transpose. */
    public static final int ROUND = 0;
    /** Rounding codes that are made anew for the transposed operand. */
    public static final int ROUND_TRANSPOSED = 1;
    /** Initial weights. */
    public static final int INITIAL_WEIGHT = 2;
    /** Order of the training data. */
    public static final int DATA_ORDER = 3;
    /** Which rows of dY enter the gradient of the input. */
    public static final int SAMPLE_GRAD_INPUT = 4;
    /** Which tokens enter the gradient of the weight. */
    public static final int SAMPLE_GRAD_WEIGHT = 5;
    /** How a training image is moved and mirrored. */
    public static final int AUGMENTATION = 6;
    /** Which token a language model goes on with. */
    public static final int GENERATION = 7;

    /** Where a model's outliers are, and their signs. */
    public static final int OUTLIER = 15;

    private Purpose() {}
}
