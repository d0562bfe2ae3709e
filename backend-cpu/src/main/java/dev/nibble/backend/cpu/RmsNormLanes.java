package dev.nibble.backend.cpu;

import dev.nibble.reference.ReferenceRmsNorm;
import dev.nibble.reference.Tasks;
import java.util.Arrays;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorSpecies;

/** {@link ReferenceRmsNorm} in vectors, with the same bits. */
final class RmsNormLanes {
    private static final VectorSpecies<Float> SPECIES = VectorExp.SPECIES;
    private static final int LANES = SPECIES.length();

    private RmsNormLanes() {}

    /**
     * See {@link ReferenceRmsNorm#forward}.
     *
     * @param x [rows, width]
     * @param weight [width]
     * @param y [rows, width]
     * @param inverseRms [rows]
     */
    static void forward(float[] x, float[] weight, float epsilon, int from, int to, float[] y, float[] inverseRms) {
        int width = weight.length;
        int whole = SPECIES.loopBound(width);
        for (int row = from; row < to; row++) {
            int start = row * width;
            float mean = LaneSums.dot(x, start, x, start, width) / width;
            float r = 1f / (float) Math.sqrt(mean + epsilon);
            inverseRms[row] = r;
            for (int i = 0; i < whole; i += LANES) {
                load(x, start + i).mul(r).mul(load(weight, i)).intoArray(y, start + i);
            }
            for (int i = whole; i < width; i++) {
                y[start + i] = x[start + i] * r * weight[i];
            }
        }
    }

    /**
     * See {@link ReferenceRmsNorm#gradX}.
     *
     * @param gradOutput [rows, width]
     * @param x [rows, width]
     * @param inverseRms [rows]
     * @param weight [width]
     * @param gradX [rows, width]
     */
    static void gradX(
            float[] gradOutput, float[] x, float[] inverseRms, float[] weight, int from, int to, float[] gradX) {
        int width = weight.length;
        int whole = SPECIES.loopBound(width);
        for (int row = from; row < to; row++) {
            int start = row * width;
            for (int i = 0; i < whole; i += LANES) {
                load(gradOutput, start + i).mul(load(weight, i)).intoArray(gradX, start + i);
            }
            for (int i = whole; i < width; i++) {
                gradX[start + i] = gradOutput[start + i] * weight[i];
            }
            float r = inverseRms[row];
            float c = r * (LaneSums.dot(gradX, start, x, start, width) / width);
            FloatVector negative = FloatVector.broadcast(SPECIES, -c);
            for (int i = 0; i < whole; i += LANES) {
                FloatVector scaled = load(x, start + i).mul(r);
                negative.fma(scaled, load(gradX, start + i)).mul(r).intoArray(gradX, start + i);
            }
            for (int i = whole; i < width; i++) {
                gradX[start + i] = r * Math.fma(-c, x[start + i] * r, gradX[start + i]);
            }
        }
    }

    /**
     * See {@link ReferenceRmsNorm#gradWeightPartial}.
     *
     * @param gradOutput [rows, width]
     * @param x [rows, width]
     * @param inverseRms [rows]
     * @param partials [chunks, width]; row {@code from / 64} is overwritten
     */
    static void gradWeightPartial(
            float[] gradOutput, float[] x, float[] inverseRms, int width, int from, int to, float[] partials) {
        int out = from / Tasks.CHUNK_ROWS * width;
        int whole = SPECIES.loopBound(width);
        Arrays.fill(partials, out, out + width, 0f);
        for (int row = from; row < to; row++) {
            int start = row * width;
            float r = inverseRms[row];
            for (int i = 0; i < whole; i += LANES) {
                FloatVector dy = load(gradOutput, start + i);
                dy.fma(load(x, start + i).mul(r), load(partials, out + i)).intoArray(partials, out + i);
            }
            for (int i = whole; i < width; i++) {
                partials[out + i] = Math.fma(gradOutput[start + i], x[start + i] * r, partials[out + i]);
            }
        }
    }

    private static FloatVector load(float[] x, int at) {
        return FloatVector.fromArray(SPECIES, x, at);
    }
}
