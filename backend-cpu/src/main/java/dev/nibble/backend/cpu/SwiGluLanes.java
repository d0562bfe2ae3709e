package dev.nibble.backend.cpu;

import dev.nibble.reference.ReferenceSwiGlu;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorSpecies;

/** {@link ReferenceSwiGlu} in vectors, with the same bits. */
final class SwiGluLanes {
    private static final VectorSpecies<Float> SPECIES = VectorExp.SPECIES;
    private static final int LANES = SPECIES.length();

    private static final VectorExp FUNCTIONS = new VectorExp();

    private SwiGluLanes() {}

    /**
     * See {@link ReferenceSwiGlu#forward}.
     *
     * @param gateUp [rows, 2 · hidden]
     * @param h [rows, hidden]
     */
    static void forward(float[] gateUp, int hidden, int from, int to, float[] h) {
        int whole = SPECIES.loopBound(hidden);
        float[] s = new float[hidden]; // [hidden]
        for (int row = from; row < to; row++) {
            int gate = row * 2 * hidden;
            int up = gate + hidden;
            int out = row * hidden;
            FUNCTIONS.sigmoid(gateUp, gate, hidden, s);
            for (int i = 0; i < whole; i += LANES) {
                load(gateUp, gate + i).mul(load(s, i)).mul(load(gateUp, up + i)).intoArray(h, out + i);
            }
            for (int i = whole; i < hidden; i++) {
                h[out + i] = gateUp[gate + i] * s[i] * gateUp[up + i];
            }
        }
    }

    /**
     * See {@link ReferenceSwiGlu#backward}.
     *
     * @param gradOutput [rows, hidden]
     * @param gateUp [rows, 2 · hidden]
     * @param gradGateUp [rows, 2 · hidden]
     */
    static void backward(float[] gradOutput, float[] gateUp, int hidden, int from, int to, float[] gradGateUp) {
        int whole = SPECIES.loopBound(hidden);
        float[] sigmoid = new float[hidden]; // [hidden]
        for (int row = from; row < to; row++) {
            int gate = row * 2 * hidden;
            int up = gate + hidden;
            int out = row * hidden;
            FUNCTIONS.sigmoid(gateUp, gate, hidden, sigmoid);
            for (int i = 0; i < whole; i += LANES) {
                FloatVector s = load(sigmoid, i);
                FloatVector gs = load(gateUp, gate + i).mul(s);
                FloatVector dh = load(gradOutput, out + i);
                dh.mul(gs).intoArray(gradGateUp, up + i);
                FloatVector slope = gs.fma(FloatVector.broadcast(SPECIES, 1f).sub(s), s);
                dh.mul(load(gateUp, up + i)).mul(slope).intoArray(gradGateUp, gate + i);
            }
            for (int i = whole; i < hidden; i++) {
                float s = sigmoid[i];
                float gs = gateUp[gate + i] * s;
                gradGateUp[up + i] = gradOutput[out + i] * gs;
                gradGateUp[gate + i] = gradOutput[out + i] * gateUp[up + i] * Math.fma(gs, 1f - s, s);
            }
        }
    }

    private static FloatVector load(float[] x, int at) {
        return FloatVector.fromArray(SPECIES, x, at);
    }
}
