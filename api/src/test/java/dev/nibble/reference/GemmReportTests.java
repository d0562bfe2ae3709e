package dev.nibble.reference;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.nibble.gemm.Epilogue;
import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Product;
import dev.nibble.gemm.Term;
import dev.nibble.host.HostOperand;
import dev.nibble.quant.Granularity;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.ScaleRule;
import dev.nibble.report.ExecutionRow;
import dev.nibble.tensor.DType;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

/** What a product says about itself: rows of the log, and messages about shapes. */
class GemmReportTests {
    private static final GemmSpec OUTPUT = GemmSpec.of(Product.OUTPUT, Epilogue.STORE);
    private static final GemmSpec GRAD_WEIGHT = GemmSpec.of(Product.GRAD_WEIGHT, Epilogue.STORE);
    private static final GemmSpec FALLBACK =
            new GemmSpec(Product.OUTPUT, List.of(new Term(0, 0), new Term(1, 0)), Epilogue.STORE);

    private static Granularity block(int rows, int k) {
        return new Granularity.PerBlock(rows, k);
    }

    private static PlaneSpec int8(Granularity granularity) {
        return PlaneSpec.value(DType.INT8, granularity, new ScaleRule.AmaxOverTop(), Rounding.NEAREST_EVEN);
    }

    private static PlaneSpec fp8(DType format, Granularity granularity) {
        return PlaneSpec.value(format, granularity, new ScaleRule.TopOverAmax(false), Rounding.NEAREST_EVEN);
    }

    @Test
    void rowsOfTheLogNameKernelFormatsAndArithmetic() {
        try (Session session = new Session()) {
            HostOperand a = session.fallback(new float[] {1, 2}, 1, 2, 2, 0);
            HostOperand b = session.columns(new float[] {1, 2}, 1, 2, int8(block(2, 2)));
            session.multiply(FALLBACK, a, b);
            session.multiply(FALLBACK, a, b);
            HostOperand c = session.columns(new float[] {1, 2}, 1, 2, fp8(DType.E5M2, new Granularity.PerRow()));
            HostOperand d = session.columns(new float[] {1, 2}, 1, 2, fp8(DType.E4M3, new Granularity.PerRow()));
            session.multiply(GRAD_WEIGHT, c, d);
            HostOperand e = session.columns(new float[] {1, 2}, 1, 2, PlaneSpec.unscaled(DType.BF16));
            session.multiply(GemmSpec.of(Product.GRAD_INPUT, Epilogue.STORE), e, e);
            String layer = Session.SITE.name();
            String kernel = "reference-gemm";
            assertEquals(
                    List.of(
                            row(layer, "output", "int8+int8 x int8", kernel, "exact int32, fp32 scale"),
                            row(layer, "gradWeight", "e5m2 x e4m3", kernel, "fp32 fma chains of 128"),
                            row(layer, "gradInput", "bf16 x bf16", kernel, "fp32 fma chain")),
                    session.backend.log().rows());
        }
    }

    private static ExecutionRow row(String layer, String product, String formats, String kernel, String compute) {
        return new ExecutionRow(layer, product, formats, formats, kernel, compute, true, "");
    }

    @Test
    void shapesThatDoNotFitAreRejectedByName() {
        try (Session session = new Session()) {
            PlaneSpec plane = PlaneSpec.unscaled(DType.FP32);
            HostOperand a = session.columns(new float[6], 2, 3, plane);
            HostOperand b = session.columns(new float[8], 2, 4, plane);
            assertMessage(
                    "output of layer blocks.0.mlp.down: A is [2, 3] and B is [2, 4], but both need the same last extent",
                    () -> session.multiply(OUTPUT, a, b));
            HostOperand c = session.columns(new float[12], 4, 3, plane);
            assertMessage(
                    "output of layer blocks.0.mlp.down: D is [4, 2], but A [2, 3] and B [4, 3] need [2, 4]",
                    () -> session.backend
                            .gemm()
                            .multiply(session.scope, OUTPUT, Session.SITE, a, c, session.tensor(new float[8], 4, 2)));
            assertMessage(
                    "output of layer blocks.0.mlp.down: a term uses planes 1 and 0, but the operands have 1 and 1",
                    () -> session.multiply(FALLBACK, a, a));
        }
    }

    private static void assertMessage(String message, Executable action) {
        assertEquals(
                message, assertThrows(IllegalArgumentException.class, action).getMessage());
    }
}
