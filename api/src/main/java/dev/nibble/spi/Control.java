package dev.nibble.spi;

/** Elements of the optimizer's control vector, FP32 on the device: what every update of a step has in common. */
public enum Control {
    /** Euclidean norm of all gradients. */
    GRADIENT_NORM,
    /** Factor that clips it: 1 or less. */
    CLIP,
    /** 1 if the step is skipped because something was not finite, else 0. */
    SKIPPED,
    /** Updates done so far, this one included. */
    UPDATES,
    /** The learning rate of the step. */
    LEARNING_RATE;

    /** {@return how many there are: the length of the vector} */
    public static int count() {
        return values().length;
    }
}
