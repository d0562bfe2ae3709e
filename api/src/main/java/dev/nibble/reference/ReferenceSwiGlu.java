package dev.nibble.reference;

/** SwiGLU (Shazeer 2020, arXiv:2002.05202) and its gradient. */
public final class ReferenceSwiGlu {
    private ReferenceSwiGlu() {}

    /**
     * {@code h = (gate · sigmoid(gate)) · up} for rows {@code from} to {@code to - 1}.
     *
     * @param functions gives the sigmoid
     * @param gateUp [rows, 2 · hidden]
     * @param h [rows, hidden]
     */
    public static void forward(Exponentials functions, float[] gateUp, int hidden, int from, int to, float[] h) {
        float[] s = new float[hidden]; // [hidden]
        for (int row = from; row < to; row++) {
            int gate = row * 2 * hidden;
            int up = gate + hidden;
            int out = row * hidden;
            functions.sigmoid(gateUp, gate, hidden, s);
            for (int i = 0; i < hidden; i++) {
                h[out + i] = gateUp[gate + i] * s[i] * gateUp[up + i];
            }
        }
    }

    /**
     * {@code dUp = dh · (gate · s); dGate = (dh · up) · fma(gate · s, 1 - s, s)} with {@code s = sigmoid(gate)}, for
     * rows {@code from} to {@code to - 1}.
     *
     * @param functions gives the sigmoid
     * @param gradOutput dh, [rows, hidden]
     * @param gateUp [rows, 2 · hidden]
     * @param gradGateUp [rows, 2 · hidden]
     */
    public static void backward(
            Exponentials functions,
            float[] gradOutput,
            float[] gateUp,
            int hidden,
            int from,
            int to,
            float[] gradGateUp) {
        float[] s = new float[hidden]; // [hidden]
        for (int row = from; row < to; row++) {
            int gate = row * 2 * hidden;
            int up = gate + hidden;
            int out = row * hidden;
            functions.sigmoid(gateUp, gate, hidden, s);
            for (int i = 0; i < hidden; i++) {
                gradGateUp[up + i] = gradOutput[out + i] * (gateUp[gate + i] * s[i]);
            }
            for (int i = 0; i < hidden; i++) {
                float slope = Math.fma(gateUp[gate + i] * s[i], 1f - s[i], s[i]);
                gradGateUp[gate + i] = gradOutput[out + i] * gateUp[up + i] * slope;
            }
        }
    }
}
