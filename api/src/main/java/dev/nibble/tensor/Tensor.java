package dev.nibble.tensor;

/**
 * A handle on device memory. It holds no values that Java code could read: a {@code Backend} copies in and
 * out, outside a step.
 *
 * <p>A handle belongs to one thread at a time. Closing it twice does nothing; using it after {@link #close}
 * is an {@link IllegalStateException}.
 */
public interface Tensor extends AutoCloseable {
    /** {@return the name used in messages} */
    String label();

    /** {@return the element type} */
    DType dtype();

    /** {@return the extents} */
    Shape shape();

    /**
     * {@return another handle on the same memory} The memory is freed when its last handle is closed.
     */
    Tensor share();

    /** Gives this handle up. */
    @Override
    void close();
}
