package dev.nibble.backend.cpu;

import dev.nibble.backend.cpu.PanelKernel.Panel;
import dev.nibble.reference.AttentionHead;
import dev.nibble.reference.LaneSum;
import dev.nibble.reference.ReferenceAttention;
import java.util.Arrays;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/**
 * {@link ReferenceAttention} on matrices in cache, with the same bits: every sum is the same chain, and what the mask
 * hides is left out, not multiplied by zero. Four queries are computed together. Under a causal mask, all four see the
 * keys up to the first one's position, and the other six pairs are added one by one; without a mask, all see all keys.
 */
final class AttentionKernel {
    private static final VectorSpecies<Float> SPECIES = VectorExp.SPECIES;
    private static final int LANES = SPECIES.length();
    private static final int GROUP = PanelKernel.ROWS;

    private final AttentionHead head;
    private final HeadLayout layout;
    private final float[] m; // [layout.length()]

    /** Prepares one head; {@code scratch} belongs to it until it is done. */
    AttentionKernel(AttentionHead head, HeadLayout layout, float[] scratch) {
        this.head = head;
        this.layout = layout;
        this.m = scratch;
    }

    /** See {@link ReferenceAttention#forward}. */
    void forward(float[] qkv, float[] out, float[] logs) {
        float[] inverseSums = new float[HeadLayout.QUERIES]; // [64]
        for (int i = 0; i < head.sequence(); i++) {
            pack(qkv, head.q(i), layout.q(), i);
            pack(qkv, head.v(i), layout.v(), i);
        }
        packTransposed(qkv, head.k(0), layout.kTransposed());
        forEachBlock(
                (first, rows) -> scores(layout.q(), layout.kTransposed(), layout.scores(), first, rows),
                (first, rows) -> softmax(first, rows, logs, inverseSums),
                (first, rows) -> weightedKeys(layout.scores(), layout.v(), first, rows),
                (first, rows) -> scaleOutput(first, rows, inverseSums, out));
    }

    /** See {@link ReferenceAttention#backward}. */
    void backward(float[] gradOutput, float[] qkv, float[] out, float[] logs, float[] gradQkv) {
        for (int i = 0; i < head.sequence(); i++) {
            pack(qkv, head.q(i), layout.q(), i);
            pack(qkv, head.k(i), layout.k(), i);
            pack(gradOutput, head.output(i), layout.gradOutput(), i);
        }
        packTransposed(qkv, head.k(0), layout.kTransposed());
        packTransposed(qkv, head.v(0), layout.vTransposed());
        clear(layout.gradK(), layout.sequence());
        clear(layout.gradV(), layout.sequence());
        forEachBlock(
                (first, rows) -> scores(layout.q(), layout.kTransposed(), layout.scores(), first, rows),
                (first, rows) -> scores(layout.gradOutput(), layout.vTransposed(), layout.gradScores(), first, rows),
                (first, rows) -> gradientOfScores(first, rows, gradOutput, out, logs),
                (first, rows) -> weightedKeys(layout.gradScores(), layout.k(), first, rows),
                (first, rows) -> {
                    for (int row = 0; row < rows; row++) {
                        unpack(layout.outputRows(), row, gradQkv, head.q(first + row));
                    }
                },
                (first, rows) -> weightedQueries(layout.gradScores(), layout.q(), layout.gradK(), first, rows),
                (first, rows) -> weightedQueries(layout.scores(), layout.gradOutput(), layout.gradV(), first, rows));
        for (int i = 0; i < head.sequence(); i++) {
            unpack(layout.gradK(), i, gradQkv, head.k(i));
            unpack(layout.gradV(), i, gradQkv, head.v(i));
        }
    }

    /** A step of the work on queries {@code first} to {@code first + rows - 1}. */
    private interface Step {
        void accept(int first, int rows);
    }

    // One call for all steps: it has too many targets to be inlined, so that each step is compiled alone. In one piece
    // they overflow the compiler's node budget, and it boxes the vectors of the last ones.
    private void forEachBlock(Step... steps) {
        for (int first = 0; first < head.sequence(); first += HeadLayout.QUERIES) {
            for (Step step : steps) {
                step.accept(first, Math.min(HeadLayout.QUERIES, head.sequence() - first));
            }
        }
    }

    private void pack(float[] source, int from, Panel panel, int row) {
        System.arraycopy(source, from, m, panel.index(row, 0), head.size());
    }

    private void unpack(Panel panel, int row, float[] target, int to) {
        System.arraycopy(m, panel.index(row, 0), target, to, head.size());
    }

    // Sixteen tokens at a time: their cache lines are read for sixteen features before they are evicted.
    private void packTransposed(float[] source, int from, Panel panel) {
        int pitch = 3 * head.width();
        for (int first = 0; first < head.sequence(); first += LaneSum.LANES) {
            int end = Math.min(first + LaneSum.LANES, head.sequence());
            for (int d = 0; d < head.size(); d++) {
                int to = panel.index(d, 0);
                for (int i = first; i < end; i++) {
                    m[to + i] = source[from + i * pitch + d];
                }
            }
        }
    }

    private void clear(Panel panel, int rows) {
        Arrays.fill(m, panel.at(), panel.index(rows, 0), 0f);
    }

    /** Dot products of {@code rows} queries from {@code first} on with the keys that they see, and some more. */
    private void scores(Panel queries, Panel keysTransposed, Panel target, int first, int rows) {
        clear(target, HeadLayout.QUERIES);
        int block = 4 * LANES; // columns of keys that stay in cache while all queries pass
        int seen = head.keys(first + rows - 1);
        for (int key = 0; key < seen; key += block) {
            for (int row = firstSeer(key, first) / GROUP * GROUP; row < rows; row += GROUP) {
                int cols = Math.min(block, head.keys(first + row + GROUP - 1) - key);
                PanelKernel.multiply(
                        m,
                        queries.from(first + row, 0),
                        keysTransposed.from(0, key),
                        target.from(row, key),
                        head.size(),
                        cols);
            }
        }
    }

    /** {@return the first row, counted from query {@code first}, that sees a key} */
    private int firstSeer(int key, int first) {
        return head.causal() ? Math.max(0, key - first) : 0;
    }

    /** {@code output[row] = Σ_keys weights[row][key] · values[key]}, over the keys that the row sees, ascending. */
    private void weightedKeys(Panel weights, Panel values, int first, int rows) {
        Panel output = layout.outputRows();
        clear(output, HeadLayout.QUERIES);
        for (int row = 0; row < rows; row += GROUP) {
            int shared = head.keys(first + row);
            PanelKernel.multiply(m, weights.from(row, 0), values, output.from(row, 0), shared, layout.features());
            for (int other = row + 1; other < Math.min(row + GROUP, rows); other++) {
                for (int key = shared; key < head.keys(first + other); key++) {
                    addScaled(weights.index(other, key), values.index(key, 0), output.index(other, 0));
                }
            }
        }
    }

    /** {@code target[key] += Σ_queries weights[query][key] · values[query]}, over those that see the key, ascending. */
    private void weightedQueries(Panel weights, Panel values, Panel target, int first, int rows) {
        int keys = head.keys(first + rows - 1);
        for (int key = 0; key < keys; key += GROUP) {
            int shared = firstSeer(key + GROUP - 1, first); // sees all four keys
            for (int row = firstSeer(key, first); row < Math.min(shared, rows); row++) {
                for (int seen = key; seen < head.keys(first + row); seen++) {
                    addScaled(weights.index(row, seen), values.index(first + row, 0), target.index(seen, 0));
                }
            }
            PanelKernel.multiply(
                    m,
                    weights.from(shared, key).transposed(),
                    values.from(first + shared, 0),
                    target.from(key, 0),
                    rows - shared,
                    layout.features());
        }
    }

    private void addScaled(int factor, int from, int to) {
        PanelKernel.addScaled(m, m[factor], from, to, layout.features());
    }

    private void softmax(int first, int rows, float[] logs, float[] inverseSums) {
        for (int row = 0; row < rows; row++) {
            int at = layout.scores().index(row, 0);
            int keys = head.keys(first + row);
            float maximum = scaleAndMaximum(at, keys);
            VectorExp.exp(m, at, keys, 1f, maximum, m, at);
            float sum = LaneSums.sum(m, at, keys);
            logs[head.log(first + row)] = ReferenceAttention.logSumExp(maximum, sum);
            inverseSums[row] = 1f / sum;
        }
    }

    /** Scales a row of scores in place; fills the vector in which it ends with -infinity. */
    private float scaleAndMaximum(int at, int keys) {
        Arrays.fill(m, at + keys, at + Math.ceilDiv(keys, LANES) * LANES, Float.NEGATIVE_INFINITY);
        FloatVector maximum = FloatVector.broadcast(SPECIES, Float.NEGATIVE_INFINITY);
        for (int i = at; i < at + keys; i += LANES) {
            FloatVector s = FloatVector.fromArray(SPECIES, m, i).mul(head.scale());
            s.intoArray(m, i);
            maximum = s.max(maximum);
        }
        return maximum.reduceLanes(VectorOperators.MAX);
    }

    private void scaleOutput(int first, int rows, float[] inverseSums, float[] out) {
        for (int row = 0; row < rows; row++) {
            int from = layout.outputRows().index(row, 0);
            int to = head.output(first + row);
            for (int d = 0; d < head.size(); d++) {
                out[to + d] = m[from + d] * inverseSums[row];
            }
        }
    }

    /** Turns scores into probabilities, and gradients of probabilities into gradients of scores. */
    private void gradientOfScores(int first, int rows, float[] gradOutput, float[] out, float[] logs) {
        for (int row = 0; row < rows; row++) {
            int output = head.output(first + row);
            float rowDot = LaneSums.dot(gradOutput, output, out, output, head.size());
            float log = logs[head.log(first + row)];
            int at = layout.scores().index(row, 0);
            int grad = layout.gradScores().index(row, 0);
            int keys = head.keys(first + row);
            VectorExp.exp(m, at, keys, head.scale(), log, m, at);
            for (int i = 0; i < keys; i += LANES) {
                FloatVector p = FloatVector.fromArray(SPECIES, m, at + i);
                FloatVector gradP = FloatVector.fromArray(SPECIES, m, grad + i);
                gradP.sub(rowDot).mul(p).mul(head.scale()).intoArray(m, grad + i);
            }
        }
    }
}
