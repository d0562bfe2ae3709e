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
 * Matrix products on the device. Integer codes and FP32 have the bits of the plain code; large matrices of BF16, FP16 and 8-bit floats
 * are summed by tensor cores in their own order. For those that do not multiply 8-bit floats they are decoded to BF16, unless the run is
 * strict: then they are summed in the plain code's order.
 */
final class CudaGemm implements GemmBackend {
    private final CudaRuntime runtime;
    private final CudaSampling sampling;
    private final GemmLaunches launches;
    private final TensorCores cores;

    CudaGemm(CudaRuntime runtime) {
        this(runtime, runtime.device().processors(), runtime.device().largestShared(), TensorCores.of(runtime));
    }

    /**
     * Makes an operation; numbers do not depend on the first two limits.
     *
     * @param blocks that are launched at most where each computes several tiles
     * @param largestShared bytes of shared memory that a block of the portable kernels takes at most
     * @param cores what is used beyond what all devices have; sums of floats depend on it
     */
    CudaGemm(CudaRuntime runtime, int blocks, int largestShared, TensorCores cores) {
        this.runtime = runtime;
        this.cores = cores;
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
            GemmKind kind = GemmKind.ofGathered(plan, cores);
            note(plan, site, kind, "-sampled");
            launches.gathered(plan, kind, tokens, out);
            return;
        }
        if (draws && !empty) {
            RowDraw rows = sampling.rows(scope, spec, site, left, right);
            GemmKind kind = GemmKind.ofDrawn(plan, cores);
            note(plan, site, kind, "-sampled");
            launches.drawn(plan, kind, rows, out);
            return;
        }
        GemmKind kind = GemmKind.of(plan, cores, runtime.strict());
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
