package dev.nibble.backend.cuda;

import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Product;
import dev.nibble.gemm.Sampling;
import dev.nibble.reference.OperandChecks;
import dev.nibble.report.ExecutionRow;
import dev.nibble.spi.GemmBackend;
import dev.nibble.spi.Operand;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.Tensor;

/**
 * Matrix products on the device. Integer codes and FP32 have the bits of the plain code; BF16, FP16 and 8-bit floats are summed by
 * the tensor cores of sm_90a in their own order, and elsewhere in FP32 in the plain code's.
 */
final class CudaGemm implements GemmBackend {
    private final CudaRuntime runtime;
    private final CudaSampling sampling;
    private final GemmLaunches launches;

    CudaGemm(CudaRuntime runtime) {
        this(runtime, runtime.device().processors(), runtime.device().largestShared());
    }

    /**
     * Makes an operation; numbers do not depend on its limits.
     *
     * @param blocks that are launched at most where each computes several tiles
     * @param largestShared bytes of shared memory that a block of the portable kernels takes at most
     */
    CudaGemm(CudaRuntime runtime, int blocks, int largestShared) {
        this.runtime = runtime;
        this.sampling = new CudaSampling(runtime);
        this.launches = new GemmLaunches(runtime, blocks, largestShared);
    }

    @Override
    public void multiply(StepScope scope, GemmSpec spec, Site site, Operand a, Operand b, Tensor d) {
        CudaOperand left = CudaOperand.of(a);
        CudaOperand right = CudaOperand.of(b);
        long out = CudaTensor.floats(d);
        requireFit(spec, site, left, right, d);
        ProductPlan plan = ProductPlan.of(spec, left, right);
        boolean draws = spec.sampling() == Sampling.LEVERAGE;
        boolean empty = left.rows() == 0 || right.rows() == 0;
        if (draws && spec.product() == Product.GRAD_WEIGHT && !empty) {
            TokenDraw tokens = sampling.tokens(scope, spec, site, left, right);
            note(plan, site, GemmKind.ofGathered(plan, runtime), "-sampled");
            launches.gathered(plan, tokens, out);
            return;
        }
        if (draws && !empty) {
            RowDraw rows = sampling.rows(scope, spec, site, left, right);
            GemmKind kind = GemmKind.ofDrawn(plan, runtime);
            note(plan, site, kind, "-sampled");
            launches.drawn(plan, kind, rows, out);
            return;
        }
        GemmKind kind = GemmKind.of(plan, runtime);
        note(plan, site, kind, draws ? "-sampled" : "");
        if (!empty) {
            launches.all(plan, kind, out);
        }
    }

    private void note(ProductPlan plan, Site site, GemmKind kind, String suffix) {
        String requested =
                plan.a().spec().formatLabel() + " x " + plan.b().spec().formatLabel();
        String stored = plan.a().storedLabel() + " x " + plan.b().storedLabel();
        String reason = requested.equals(stored) ? "" : "the operands were stored in other formats";
        runtime.log()
                .launched(new ExecutionRow(
                        site.name(),
                        plan.spec().product().label(),
                        requested,
                        stored,
                        kind.kernel(plan) + suffix,
                        kind.computeType(plan),
                        true,
                        reason));
    }

    /**
     * Checks that operands and result fit together, and that the kernels reach them.
     *
     * @throws IllegalArgumentException naming both shapes
     */
    private static void requireFit(GemmSpec spec, Site site, CudaOperand a, CudaOperand b, Tensor d) {
        OperandChecks.requireProduct(spec, site, a, b, d);
        String where = spec.product().label() + " of layer " + site.name() + ": ";
        if (spec.terms().size() > ProductArguments.MOST_TERMS) {
            throw new IllegalArgumentException("%s%d terms are asked for, but at most %d are possible"
                    .formatted(where, spec.terms().size(), ProductArguments.MOST_TERMS));
        }
        if (Math.max(a.k(), Math.max(a.rows(), b.rows())) > Integer.MAX_VALUE) {
            throw new IllegalArgumentException("%sA is [%d, %d] and B is [%d, %d], but an extent is at most %d"
                    .formatted(where, a.rows(), a.k(), b.rows(), b.k(), Integer.MAX_VALUE));
        }
    }
}
