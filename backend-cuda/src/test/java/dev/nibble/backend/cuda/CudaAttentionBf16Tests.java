package dev.nibble.backend.cuda;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.report.ExecutionRow;
import dev.nibble.spi.AttentionShape;
import dev.nibble.spi.NeuralOps.Saved;
import dev.nibble.spi.StepContext;
import dev.nibble.tensor.Bf16;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Tensor;
import dev.nibble.testkit.data.Matrix;
import dev.nibble.testkit.run.Rig;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * Attention with BF16 operands against FP64. The inputs are BF16 numbers, so that products are exact: what remains is the rounding of
 * probabilities and of the scores' gradients before they are multiplied, 2^-9 of each, and FP32 sums and exponentials, which a
 * second 2^-9 covers (their bound is below 2^-14 at these sizes and magnitudes).
 */
class CudaAttentionBf16Tests {
    private static final double BOUND = 0x1p-8;

    private CudaBackend backend;
    private DeviceAttention attention;
    private Rig rig;

    @BeforeEach
    void open() {
        backend = Gpu.open();
        rig = new Rig(backend);
        attention = DeviceAttention.of(backend.runtime(), DType.BF16);
    }

    @AfterEach
    void close() {
        if (rig != null) {
            rig.close();
        }
    }

    private static Matrix rounded(long seed, int rows, int cols) {
        return Matrix.normal(seed, rows, cols, 1).map((_, _, v) -> Bf16.roundTrip(v));
    }

    private List<float[]> run(AttentionShape shape, Matrix qkv, Matrix dy) {
        try (Tensor x = rig.tensor(qkv);
                Tensor g = rig.tensor(dy)) {
            return rig.results(StepContext.train(0, 0), scope -> {
                Saved saved = attention.forward(scope, x, shape);
                return List.of(saved.output(), saved.saved(), attention.backward(scope, g, x, saved, shape));
            });
        }
    }

    /** Values and bounds in FP64: out, and gradient of qkv from the device's own out. */
    private static final class Oracle {
        private final AttentionShape shape;
        private final Matrix qkv;
        private final double[] out; // [tokens, width]
        private final double[] outSizes; // [tokens, width]
        private final double[] gradient; // [tokens, 3 · width]
        private final double[] gradientSizes; // [tokens, 3 · width]

        Oracle(AttentionShape shape, Matrix qkv) {
            this.shape = shape;
            this.qkv = qkv;
            out = new double[(int) shape.tokens() * shape.width()];
            outSizes = new double[out.length];
            gradient = new double[3 * out.length];
            gradientSizes = new double[gradient.length];
        }

        private int at(int part, int token, int head, int feature) {
            return token * 3 * shape.width() + part * shape.width() + head * shape.headSize() + feature;
        }

        private double[] probabilities(int first, int query, int head) {
            int keys = shape.causal() ? query + 1 : shape.sequence();
            double[] p = new double[keys]; // [keys]
            double sum = 0;
            for (int key = 0; key < keys; key++) {
                double s = 0;
                for (int d = 0; d < shape.headSize(); d++) {
                    s += (double) qkv.values()[at(0, first + query, head, d)]
                            * qkv.values()[at(1, first + key, head, d)];
                }
                p[key] = Math.exp(s / Math.sqrt(shape.headSize()));
                sum += p[key];
            }
            for (int key = 0; key < keys; key++) {
                p[key] /= sum;
            }
            return p;
        }

        void compute(Matrix dy, float[] deviceOut) {
            for (int first = 0; first < shape.tokens(); first += shape.sequence()) {
                for (int head = 0; head < shape.heads(); head++) {
                    for (int query = 0; query < shape.sequence(); query++) {
                        double[] p = probabilities(first, query, head);
                        for (int key = 0; key < p.length; key++) {
                            add(first + query, first + key, head, p[key], dy, deviceOut);
                        }
                    }
                }
            }
        }

        private void add(int query, int key, int head, double p, Matrix dy, float[] deviceOut) {
            int row = query * shape.width() + head * shape.headSize();
            double difference = 0;
            double sizes = 0;
            for (int d = 0; d < shape.headSize(); d++) {
                double v = qkv.values()[at(2, key, head, d)];
                double g = dy.values()[row + d];
                out[row + d] += p * v;
                outSizes[row + d] += p * Math.abs(v);
                difference += g * (v - deviceOut[row + d]);
                sizes += Math.abs(g * v) + Math.abs(g * deviceOut[row + d]);
                put(at(2, key, head, d), p * g, Math.abs(p * g));
            }
            double scale = 1 / Math.sqrt(shape.headSize());
            double dS = p * difference * scale;
            double size =
                    p * scale * (Math.abs(difference) + 0x1p-6 * sizes); // out is FP32, but of rounded probabilities
            for (int d = 0; d < shape.headSize(); d++) {
                double q = qkv.values()[at(0, query, head, d)];
                double k = qkv.values()[at(1, key, head, d)];
                put(at(0, query, head, d), dS * k, size * Math.abs(k));
                put(at(1, key, head, d), dS * q, size * Math.abs(q));
            }
        }

        private void put(int i, double part, double size) {
            gradient[i] += part;
            gradientSizes[i] += size;
        }
    }

    private static void assertClose(String what, double[] expected, double[] sizes, float[] actual) {
        for (int i = 0; i < actual.length; i++) {
            double bound = BOUND * sizes[i] + Float.MIN_NORMAL;
            assertTrue(
                    Math.abs(actual[i] - expected[i]) <= bound,
                    "%s[%d] is %s, but must be %s within %s".formatted(what, i, actual[i], expected[i], bound));
        }
    }

    @ParameterizedTest
    @CsvSource({
        "1, 1, 1, 64",
        "2, 65, 2, 64",
        "1, 128, 1, 64",
        "1, 129, 3, 32",
        "1, 300, 1, 64",
        "1, 200, 2, 128",
        "2, 64, 1, 128"
    })
    void productsOfBf16NumbersStayWithinTheirBound(int batch, int sequence, int heads, int headSize) {
        for (boolean causal : new boolean[] {true, false}) {
            AttentionShape shape = new AttentionShape(batch, sequence, heads, headSize, causal);
            Matrix qkv = rounded(1, batch * sequence, 3 * shape.width());
            Matrix dy = rounded(2, batch * sequence, shape.width());
            List<float[]> results = run(shape, qkv, dy);
            Oracle oracle = new Oracle(shape, qkv);
            oracle.compute(dy, results.get(0));
            assertClose("out of " + shape, oracle.out, oracle.outSizes, results.get(0));
            assertClose("gradient of " + shape, oracle.gradient, oracle.gradientSizes, results.get(2));
        }
    }

    /** What the mask hides changes no bit, and every run gives the same. */
    @Test
    void hiddenTokensAndRunsChangeNothing() {
        AttentionShape shape = new AttentionShape(1, 200, 2, 64, true);
        Matrix qkv = rounded(3, 200, 3 * shape.width());
        Matrix dy = rounded(4, 200, shape.width());
        List<float[]> first = run(shape, qkv, dy);
        for (int time = 0; time < 20; time++) {
            List<float[]> again = run(shape, qkv, dy);
            for (int i = 0; i < first.size(); i++) {
                assertArrayEquals(first.get(i), again.get(i));
            }
        }
        Matrix other = qkv.map((row, _, v) -> row >= 150 ? -v : v);
        float[] out = run(shape, other, dy).getFirst(); // [tokens, width]
        for (int i = 0; i < 150 * shape.width(); i++) {
            assertTrue(out[i] == first.getFirst()[i], "token " + i / shape.width() + " sees what is hidden from it");
        }
    }

    @ParameterizedTest
    @CsvSource({"24, fp32 x fp32", "64, bf16 x bf16"})
    void theReportTellsTheFormat(int headSize, String stored) {
        AttentionShape shape = new AttentionShape(1, 40, 2, headSize, true);
        run(shape, rounded(5, 40, 3 * shape.width()), rounded(6, 40, shape.width()));
        List<ExecutionRow> rows = backend.log().rows();
        List<String> products = rows.stream().map(ExecutionRow::product).toList();
        assertEquals(List.of("output", "gradInput"), products);
        for (ExecutionRow row : rows) {
            assertEquals("bf16 x bf16", row.requestedFormat());
            assertEquals(stored, row.storedFormat());
        }
    }

    /** Sizes without a kernel are computed in FP32. */
    @Test
    void otherSizesHaveTheBitsOfThePlainCode() {
        AttentionShape shape = new AttentionShape(1, 40, 2, 24, true);
        Matrix qkv = rounded(5, 40, 3 * shape.width());
        Matrix dy = rounded(6, 40, shape.width());
        List<float[]> results = run(shape, qkv, dy);
        try (Rig plain = Rig.reference();
                Tensor x = plain.tensor(qkv)) {
            List<float[]> expected = plain.results(
                    StepContext.train(0, 0),
                    scope -> List.of(
                            plain.backend().neural().attention(scope, x, shape).output()));
            assertArrayEquals(expected.getFirst(), results.getFirst());
        }
    }
}
