package dev.nibble.reference;

/**
 * The functions of a row that need {@link Exp}. A backend gives its own, vectors wide, with the same bits; {@link
 * #SCALAR} is the specification.
 */
public interface Exponentials {
    /** One element after the other. */
    Exponentials SCALAR = new Exponentials() {
        @Override
        public void exp(float[] x, int from, int length, float subtrahend, float[] y) {
            for (int i = 0; i < length; i++) {
                y[i] = Exp.exp(x[from + i] - subtrahend);
            }
        }

        @Override
        public void sigmoid(float[] x, int from, int length, float[] y) {
            for (int i = 0; i < length; i++) {
                y[i] = 1f / (1f + Exp.exp(-x[from + i]));
            }
        }
    };

    /**
     * {@code y[i] = exp(x[from + i] - subtrahend)} for i in {@code 0..length-1}.
     *
     * @param y at least [length]
     */
    void exp(float[] x, int from, int length, float subtrahend, float[] y);

    /**
     * {@code y[i] = 1 / (1 + exp(-x[from + i]))} for i in {@code 0..length-1}.
     *
     * @param y at least [length]
     */
    void sigmoid(float[] x, int from, int length, float[] y);
}
