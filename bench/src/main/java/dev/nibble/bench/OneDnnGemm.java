package dev.nibble.bench;

import dev.nibble.gemm.Epilogue;
import dev.nibble.gemm.GemmSpec;
import dev.nibble.host.HostExecution;
import dev.nibble.host.HostOperand;
import dev.nibble.host.HostPlane;
import dev.nibble.host.HostRuntime;
import dev.nibble.host.HostTensor;
import dev.nibble.reference.ReferenceGemm;
import dev.nibble.spi.GemmBackend;
import dev.nibble.spi.Operand;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Tensor;

/**
 * FP32 products by oneDNN.
 *
 * @param runtime where launches are noted
 * @param library the product
 */
record OneDnnGemm(HostRuntime runtime, OneDnn library) implements GemmBackend {
    @Override
    public void multiply(StepScope scope, GemmSpec spec, Site site, Operand a, Operand b, Tensor d) {
        HostOperand left = HostOperand.of(a);
        HostOperand right = HostOperand.of(b);
        ReferenceGemm.requireFit(spec, site, left, right, d);
        HostPlane planeA = left.planes().getFirst();
        HostPlane planeB = right.planes().getFirst();
        if (planeA.codes().dtype() != DType.FP32 || planeB.codes().dtype() != DType.FP32) {
            throw new IllegalArgumentException(
                    "operands are " + left.storedLabel() + " and " + right.storedLabel() + ", but must be fp32");
        }
        library.multiply(
                (int) left.rows(),
                (int) right.rows(),
                (int) left.k(),
                HostTensor.floats(planeA.codes()),
                planeA.transposed(),
                HostTensor.floats(planeB.codes()),
                planeB.transposed(),
                spec.epilogue() == Epilogue.ADD,
                HostTensor.floats(d));
        runtime.log().launched(HostExecution.row(site, spec, left, right, "onednn-sgemm", "fp32"));
    }
}
