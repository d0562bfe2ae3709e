package dev.nibble.testkit;

import static dev.nibble.testkit.Expected.U;

import dev.nibble.spi.AttentionShape;
import dev.nibble.testkit.data.FloatError;
import dev.nibble.testkit.data.Matrix;

/** Rotary embedding and attention in FP64, with bounds for sums in any order and exponentials within 1 ulp. */
final class AttentionOracle {
    private final AttentionShape shape;
    private final Matrix qkv;
    private final double scale;

    AttentionOracle(AttentionShape shape, Matrix qkv) {
        this.shape = shape;
        this.qkv = qkv;
        this.scale = 1 / Math.sqrt(shape.headSize());
    }

    /** One of q, k and v of a head at a position. */
    private double at(int part, int batch, int head, int position, int feature) {
        return qkv.at(batch * shape.sequence() + position, column(part, head, feature));
    }

    private int column(int part, int head, int feature) {
        return part * shape.width() + head * shape.headSize() + feature;
    }

    private int keys(int position) {
        return shape.causal() ? position + 1 : shape.sequence();
    }

    /** {@return q and k turned} Cosine and sine are rounded once, each product and their sum once. */
    Expected rotated(float base, boolean inverse) {
        Expected turned = Expected.zeros(qkv.values().length);
        int half = shape.headSize() / 2;
        for (int token = 0; token < qkv.rows(); token++) {
            for (int col = 0; col < qkv.cols(); col++) {
                int i = token * qkv.cols() + col;
                if (col >= 2 * shape.width()) {
                    turned.value()[i] = qkv.values()[i];
                    continue;
                }
                int feature = col % shape.headSize();
                double angle = token % shape.sequence() * Math.pow(base, -2.0 * (feature % half) / shape.headSize());
                double sine = (inverse ? -1 : 1) * Math.sin(angle);
                boolean first = feature < half;
                double own = qkv.values()[i];
                double other = qkv.values()[first ? i + half : i - half];
                turned.value()[i] = own * Math.cos(angle) + (first ? -1 : 1) * other * sine;
                turned.bound()[i] = 4 * U * (Math.abs(own) + Math.abs(other));
            }
        }
        return turned;
    }

    /** A score and how far it may be off: the chain, its scale and their product. */
    private record Score(double value, double error) {}

    private Score score(int batch, int head, int query, int key) {
        double sum = 0;
        double sizes = 0;
        for (int d = 0; d < shape.headSize(); d++) {
            double product = at(0, batch, head, query, d) * at(1, batch, head, key, d);
            sum += product;
            sizes += Math.abs(product);
        }
        return new Score(sum * scale, sizes * scale * FloatError.gamma(shape.headSize() + 3));
    }

    /**
     * {@return out and logs} A score's error becomes a relative one of its exponential; numerator and denominator have the
     * largest of them each, and as many roundings as there are keys.
     */
    Expected[] forward() {
        Expected out = Expected.zeros((int) shape.tokens() * shape.width());
        Expected logs = Expected.zeros((int) shape.tokens() * shape.heads());
        for (int batch = 0; batch < shape.batch(); batch++) {
            for (int head = 0; head < shape.heads(); head++) {
                for (int query = 0; query < shape.sequence(); query++) {
                    forward(batch, head, query, out, logs);
                }
            }
        }
        return new Expected[] {out, logs};
    }

    private void forward(int batch, int head, int query, Expected out, Expected logs) {
        int keys = keys(query);
        Score[] scores = new Score[keys];
        double largest = Double.NEGATIVE_INFINITY;
        double smallest = Double.POSITIVE_INFINITY;
        double error = 0;
        for (int key = 0; key < keys; key++) {
            scores[key] = score(batch, head, query, key);
            largest = Math.max(largest, scores[key].value());
            smallest = Math.min(smallest, scores[key].value());
            error = Math.max(error, scores[key].error());
        }
        double sum = 0;
        for (Score score : scores) {
            sum += Math.exp(score.value() - largest);
        }
        int log = (batch * shape.heads() + head) * shape.sequence() + query;
        double off = 2 * error + U * (largest - smallest + 2 * error);
        logs.value()[log] = largest + Math.log(sum);
        logs.bound()[log] = off + FloatError.gamma(keys + 4) + 2 * U * Math.abs(logs.value()[log]);
        double relative = 2 * (Math.expm1(off) + 3 * U) + FloatError.gamma(2L * keys + 6);
        for (int key = 0; key < keys; key++) {
            double p = Math.exp(scores[key].value() - largest) / sum;
            for (int d = 0; d < shape.headSize(); d++) {
                int i = (batch * shape.sequence() + query) * shape.width() + head * shape.headSize() + d;
                double part = p * at(2, batch, head, key, d);
                out.value()[i] += part;
                out.bound()[i] += Math.abs(part) * relative;
            }
        }
    }

    /**
     * {@return the gradient of qkv, from the backend's own result of the forward pass}
     *
     * @param dy [tokens, width]
     * @param out [tokens, width]
     * @param logs [heads · tokens]
     */
    Expected backward(Matrix dy, Matrix out, float[] logs) {
        Expected gradient = Expected.zeros(qkv.values().length);
        double chain = FloatError.gamma(shape.sequence() + 2L);
        for (int batch = 0; batch < shape.batch(); batch++) {
            for (int head = 0; head < shape.heads(); head++) {
                for (int query = 0; query < shape.sequence(); query++) {
                    float log = logs[(batch * shape.heads() + head) * shape.sequence() + query];
                    for (int key = 0; key < keys(query); key++) {
                        backward(batch, head, query, key, dy, out, log, chain, gradient);
                    }
                }
            }
        }
        return gradient;
    }

    /** p = exp(s - log); dS = p·(dy·v - dy·out)·scale; each is off by what its parts are. */
    private void backward(
            int batch,
            int head,
            int query,
            int key,
            Matrix dy,
            Matrix out,
            float log,
            double chain,
            Expected gradient) {
        Score score = score(batch, head, query, key);
        double p = Math.exp(score.value() - log);
        double pOff = Math.expm1(score.error() + U * (Math.abs(score.value() - log) + score.error())) + 3 * U;
        int token = batch * shape.sequence() + query;
        double difference = 0;
        double sizes = 0;
        for (int d = 0; d < shape.headSize(); d++) {
            int col = head * shape.headSize() + d;
            double value = at(2, batch, head, key, d);
            difference += dy.at(token, col) * (value - out.at(token, col));
            sizes += Math.abs(dy.at(token, col)) * (Math.abs(value) + Math.abs(out.at(token, col)));
        }
        double dS = p * difference * scale;
        double dSOff = p
                * scale
                * ((pOff + 5 * U) * Math.abs(difference) + FloatError.gamma(shape.headSize() + 2) * sizes * (1 + pOff));
        for (int d = 0; d < shape.headSize(); d++) {
            double q = at(0, batch, head, query, d);
            double k = at(1, batch, head, key, d);
            double g = dy.at(token, head * shape.headSize() + d);
            add(gradient, index(batch, query, 0, head, d), dS * k, Math.abs(k) * dSOff, chain);
            add(gradient, index(batch, key, 1, head, d), dS * q, Math.abs(q) * dSOff, chain);
            add(gradient, index(batch, key, 2, head, d), p * g, Math.abs(p * g) * pOff, chain);
        }
    }

    private int index(int batch, int position, int part, int head, int feature) {
        return (batch * shape.sequence() + position) * qkv.cols() + column(part, head, feature);
    }

    private static void add(Expected target, int i, double part, double off, double chain) {
        target.value()[i] += part;
        target.bound()[i] += (off + chain * Math.abs(part)) * (1 + chain);
    }
}
