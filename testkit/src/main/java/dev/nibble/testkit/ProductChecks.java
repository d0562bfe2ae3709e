package dev.nibble.testkit;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import dev.nibble.gemm.Arithmetic;
import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Product;
import dev.nibble.gemm.Sampling;
import dev.nibble.gemm.Segments;
import dev.nibble.gemm.Splits;
import dev.nibble.gemm.Term;
import dev.nibble.quant.PlaneSource;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearPlan;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.PlanRequest;
import dev.nibble.spi.StepContext;
import dev.nibble.tensor.Role;
import dev.nibble.testkit.Subject.Layer;
import dev.nibble.testkit.data.DrawMoments;
import dev.nibble.testkit.data.FloatError;
import dev.nibble.testkit.data.Matrix;
import dev.nibble.testkit.data.Products;
import dev.nibble.testkit.run.Rig;
import dev.nibble.testkit.run.StoredOperand;
import dev.nibble.testkit.run.StoredPlane;
import java.lang.reflect.RecordComponent;
import java.util.ArrayList;
import java.util.List;

/** What the three products of a layer give. */
final class ProductChecks {
    private static final int[][] SHAPES = { // tokens, in, out: every extent in every place
        {1, 1, 1},
        {13, 127, 128},
        {127, 128, 129},
        {128, 129, 13},
        {129, 13, 127},
        {1, 702, 13},
        {13, 1, 702},
        {702, 13, 1}
    };
    private static final int DRAWS = 600;
    private static final int PROJECTIONS = 8;

    private final Subject subject;

    ProductChecks(Subject subject) {
        this.subject = subject;
    }

    /** Each shape is served, or refused by name if that is claimed. */
    void everyShapeIsServedOrRefused() {
        try (Rig rig = subject.rig()) {
            for (int[] shape : SHAPES) {
                LinearLayer layer = Subject.sized(shape[1], shape[2]);
                if (subject.claims().refused().test(layer)) {
                    assertRefused(rig, layer, shape[0]);
                } else {
                    assertProducts(rig, subject.layer(shape[0], shape[1], shape[2]));
                }
            }
        }
    }

    private void assertRefused(Rig rig, LinearLayer sized, int tokens) {
        String message;
        try {
            Layer layer = Layer.fresh(sized, subject.quantizer().linear(sized), tokens);
            for (Product product : Product.values()) {
                product(rig, Rig.CONTEXT, layer, product);
            }
            message = "";
        } catch (IllegalArgumentException e) {
            message = String.valueOf(e.getMessage());
        }
        assertTrue(!message.isEmpty(), "layer " + sized + " is claimed to be refused, but was served");
        boolean named = message.contains(sized.site().name())
                && (message.contains(String.valueOf(sized.in())) || message.contains(String.valueOf(sized.out())));
        assertTrue(
                named, "layer " + sized + " is refused with '" + message + "', which does not name layer and extent");
    }

    private static float[] product(Rig rig, StepContext context, Layer layer, Product product) {
        return rig.product(context, layer.plan(), product, Rig.SITE, layer.state(), layer::normal);
    }

    /** The products of a layer's plan, unless their rows are drawn. */
    static void assertProducts(Rig rig, Layer layer) {
        for (Product product : Product.values()) {
            GemmSpec gemm = layer.plan().gemm(product);
            float[] d = product(rig, Rig.CONTEXT, layer, product);
            if (gemm.sampling() != Sampling.LEVERAGE) { // else it is right on average only: see gradientsAreUnbiased
                StoredOperand a = operand(rig, layer, product.roleA(), product);
                StoredOperand b = operand(rig, layer, product.roleB(), product);
                assertProduct(
                        gemm,
                        a,
                        b,
                        new float[d.length],
                        d,
                        layer.layer() + ", " + layer.tokens() + " tokens: " + product.label());
            }
        }
    }

    private static StoredOperand operand(Rig rig, Layer layer, Role role, Product product) {
        return rig.quantize(Rig.CONTEXT, Rig.SITE, layer.source(role, layer.normal(role)))
                .operand(role == product.roleA() ? product.contractionA() : product.contractionB());
    }

    /**
     * Compares a product with the FP64 product of what its operands mean: within γ of {@link #roundings} of Σ |a·b|.
     *
     * @param before what the product was added to, [M, N]
     * @param d D after the product, [M, N]
     */
    static void assertProduct(GemmSpec gemm, StoredOperand a, StoredOperand b, float[] before, float[] d, String what) {
        int m = a.rows();
        int n = b.rows();
        double[] exact = new Matrix(before, m, n).wide(); // [M, N]
        double[] sizes = Products.magnitudes(exact); // [M, N]
        for (Term term : gemm.terms()) {
            double weight = (double) term.weightA() * term.weightB();
            double[] left = a.plane(term.planeA()); // [M, K]
            double[] right = b.plane(term.planeB()); // [N, K]
            double[] part = Products.timesTransposed(left, right, m, n, a.k()); // [M, N]
            double[] size = Products.timesTransposed(
                    Products.magnitudes(left), Products.magnitudes(right), m, n, a.k()); // [M, N]
            for (int i = 0; i < exact.length; i++) {
                exact[i] += weight * part[i];
                sizes[i] += Math.abs(weight) * size[i];
            }
        }
        double relative = FloatError.gamma(roundings(gemm, a, b));
        for (int i = 0; i < exact.length; i++) {
            // The products of weights and scales may be subnormal; what their rounding loses is multiplied by codes.
            double limit = relative * sizes[i] + 0x1p-100;
            if (!(Math.abs(d[i] - exact[i]) <= limit)) {
                fail(
                        "%s: D[%d, %d] is %s, but what codes and scales mean gives %s; at most %s of the difference is rounding"
                                .formatted(what, i / n, i % n, d[i], exact[i], limit));
            }
        }
    }

    /**
     * {@return how many roundings one after the other an element of D can meet} In a segment: the chain (an exact sum: one, to
     * FP32), four for weights and scales; a fused multiply-add for each segment and term; an addition for each part, one for
     * the epilogue.
     */
    static long roundings(GemmSpec gemm, StoredOperand a, StoredOperand b) {
        Splits splits = Splits.of(gemm.product(), a.rows(), b.rows(), a.k());
        long folds = 0;
        long chain = 1;
        for (Term term : gemm.terms()) {
            StoredPlane planeA = a.planes().get(term.planeA());
            StoredPlane planeB = b.planes().get(term.planeB());
            long[] bounds = Segments.bounds(
                    planeA.format(),
                    planeA.spec().granularity(),
                    planeB.format(),
                    planeB.spec().granularity(),
                    a.k(),
                    0,
                    splits.to(0, a.k()));
            folds += bounds.length;
            long own = switch (Arithmetic.of(planeA.format(), planeB.format())) {
                case EXACT -> 1;
                case CHAIN -> Segments.FP8_LIMIT;
                case FLOAT -> a.k();
            };
            chain = Math.max(chain, own);
        }
        return chain + 4 + folds * gemm.terms().size() + splits.parts() + 1;
    }

    /**
     * The gradients are right on average: their mean over draws is dY · W and dYᵀ · X, with W and X as their codes mean them.
     * Compared along fixed directions, since one element of a sampled product may move once in 2^15 draws: along the gradient
     * itself and along random signs, each with the standard error of its own sample.
     */
    void gradientsAreUnbiased() {
        if (!subject.claims().unbiased().containsKey(Role.GRAD_OUTPUT)) {
            return;
        }
        Layer layer = subject.layer(48, 32, 16);
        for (Product product : List.of(Product.GRAD_INPUT, Product.GRAD_WEIGHT)) {
            try (Rig rig = subject.rig()) {
                assertUnbiased(rig, layer, product);
            }
        }
    }

    private static void assertUnbiased(Rig rig, Layer layer, Product product) {
        GemmSpec gemm = layer.plan().gemm(product);
        StoredOperand b = operand(rig, layer, product.roleB(), product);
        StoredOperand a = operand(rig, layer, Role.GRAD_OUTPUT, product);
        double[] left = left(layer, gemm); // [M, K]
        double[] right = right(gemm, a, b); // [N, K]
        double[] expected = Products.timesTransposed(left, right, a.rows(), b.rows(), a.k()); // [M, N]
        double[] sizes = Products.timesTransposed(
                Products.magnitudes(left), Products.magnitudes(right), a.rows(), b.rows(), a.k()); // [M, N]
        double[][] directions = directions(expected); // [directions][M·N]
        double[] along = project(expected, directions); // [directions]
        DrawMoments moments = new DrawMoments(along);
        for (int draw = 0; draw < DRAWS; draw++) {
            float[] d = product(rig, StepContext.train(draw, 0), layer, product);
            moments.add(project(new Matrix(d, 1, d.length).wide(), directions));
        }
        double rounding = 2 * FloatError.gamma(roundings(gemm, a, b)); // a draw may be larger than what it stands for
        for (int i = 0; i < along.length; i++) {
            double error = Math.sqrt(moments.variance(i) / DRAWS);
            double size = project(sizes, new double[][] {Products.magnitudes(directions[i])})[0];
            double limit = DrawChecks.ERRORS * error + rounding * size;
            if (!(Math.abs(moments.bias(i)) <= limit)) {
                fail(
                        "%s: along %s the mean of %d draws is off by %s of %s; at most %s (5 standard errors) is due to chance"
                                .formatted(
                                        product.label(),
                                        i == 0 ? "the gradient" : "random signs " + i,
                                        DRAWS,
                                        moments.bias(i),
                                        along[i],
                                        limit));
            }
        }
    }

    /** {@return dY or dYᵀ, [M, K]} */
    private static double[] left(Layer layer, GemmSpec gemm) {
        try (Rig plain = Rig.reference()) {
            Matrix dy = CodeChecks.transformed(plain, layer, Role.GRAD_OUTPUT, layer.normal(Role.GRAD_OUTPUT));
            return gemm.product() == Product.GRAD_INPUT
                    ? dy.wide()
                    : dy.transposed().wide();
        }
    }

    /** {@return W or X as the terms weigh its planes, [N, K]} */
    private static double[] right(GemmSpec gemm, StoredOperand a, StoredOperand b) {
        double[] right = new double[b.rows() * b.k()]; // [N, K]
        for (Term term : gemm.terms()) {
            // The digits of a tensor enter together: what the upper one's weight says holds for both.
            boolean lower =
                    a.spec().planes().get(term.planeA()).source() instanceof PlaneSource.Digit digit && !digit.upper();
            double[] plane = b.plane(term.planeB()); // [N, K]
            for (int i = 0; i < right.length; i++) {
                right[i] += lower ? 0 : (double) term.weightA() * term.weightB() * plane[i];
            }
        }
        return right;
    }

    private static double[][] directions(double[] expected) {
        double[][] directions = new double[PROJECTIONS + 1][]; // [directions][M·N]
        directions[0] = expected;
        for (int i = 1; i <= PROJECTIONS; i++) {
            float[] normal = Matrix.normal(100L + i, 1, expected.length, 1).values(); // [M·N]
            directions[i] = new double[expected.length];
            for (int j = 0; j < normal.length; j++) {
                directions[i][j] = Math.signum(normal[j]);
            }
        }
        return directions;
    }

    private static double[] project(double[] x, double[][] directions) {
        double[] along = new double[directions.length]; // [directions]
        for (int i = 0; i < along.length; i++) {
            for (int j = 0; j < x.length; j++) {
                along[i] += directions[i][j] * x[j];
            }
        }
        return along;
    }

    /** Equal requests give equal plans, also from a quantizer that was made anew. */
    void equalRequestsGiveEqualPlans() {
        LinearLayer layer = subject.layer(1, 128, 64).layer();
        LinearQuantizer first = subject.quantizer().linear(layer);
        LinearQuantizer second = subject.quantizer().linear(layer);
        for (int tokens : List.of(1, 128)) {
            for (boolean fresh : List.of(true, false)) {
                for (PlanRequest.Phase phase : PlanRequest.Phase.values()) {
                    LinearPlan plan = first.plan(new PlanRequest(tokens, fresh, phase));
                    LinearPlan again = first.plan(new PlanRequest(tokens, fresh, phase));
                    LinearPlan other = second.plan(new PlanRequest(tokens, fresh, phase));
                    assertEquals(List.of(), differences(plan, again), "parts that differ when asked again");
                    assertEquals(List.of(), differences(plan, other), "parts that differ in another quantizer");
                    assertEquals(plan.hashCode(), other.hashCode(), "hash code");
                }
            }
        }
        assertEquals(first.state(), second.state(), "state");
        assertTrue(first.freshSteps() >= 1, "a layer is fresh for one step at least");
    }

    private static List<String> differences(LinearPlan one, LinearPlan other) {
        List<String> names = new ArrayList<>();
        for (RecordComponent part : LinearPlan.class.getRecordComponents()) {
            try {
                Object expected = part.getAccessor().invoke(one);
                if (!expected.equals(part.getAccessor().invoke(other))) {
                    names.add(part.getName());
                }
            } catch (ReflectiveOperationException e) {
                throw new LinkageError(e.getMessage(), e);
            }
        }
        return names;
    }
}
