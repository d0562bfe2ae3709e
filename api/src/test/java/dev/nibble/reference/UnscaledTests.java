package dev.nibble.reference;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.host.HostOperand;
import dev.nibble.host.HostQuantized;
import dev.nibble.host.HostTensor;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.spi.Operand;
import dev.nibble.spi.Quantized;
import dev.nibble.tensor.Bf16;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Fp16;
import dev.nibble.tensor.Role;
import dev.nibble.tensor.Tensor;
import java.util.List;
import org.junit.jupiter.api.Test;

class UnscaledTests {
    private static QuantizeSpec both(DType format) {
        return QuantizeSpec.both(Role.WEIGHT, List.of(PlaneSpec.unscaled(format)));
    }

    @Test
    void fp32SharesTheMemoryOfTheTensor() {
        try (Session session = new Session()) {
            Tensor x = session.tensor(Data.normal(1, 6), 2, 3);
            Quantized quantized = session.backend
                    .quantization()
                    .quantize(session.scope, both(DType.FP32), Session.SITE, x, session.state());
            for (Contraction contraction : Contraction.values()) {
                HostOperand operand = HostOperand.of(quantized.operand(contraction));
                assertSame(
                        HostTensor.floats(x),
                        HostTensor.floats(operand.planes().getFirst().codes()));
                assertEquals(
                        contraction == Contraction.ROWS,
                        operand.planes().getFirst().transposed());
                assertFalse(operand.planes().getFirst().scaled());
                assertFalse(operand.planes().getFirst().masked());
            }
            Operand kept = quantized.operand(Contraction.ROWS).share();
            quantized.close();
            assertArrayEquals(Data.transpose(HostTensor.floats(x), 2, 3), session.dequantize(HostOperand.of(kept)));
            kept.close();
            assertTrue(HostTensor.of(x).isOpen());
        }
    }

    @Test
    void narrowFormatsAreConvertedOnce() {
        float[] x = Data.normal(2, 13 * 29);
        for (DType format : List.of(DType.BF16, DType.FP16)) {
            try (Session session = new Session()) {
                HostQuantized quantized = session.quantize(both(format), x, 13, 29);
                HostOperand columns = Session.operand(quantized, Contraction.COLUMNS);
                HostOperand rows = Session.operand(quantized, Contraction.ROWS);
                assertSame(
                        columns.planes().getFirst().codes().shorts(),
                        rows.planes().getFirst().codes().shorts());
                float[] expected = new float[x.length];
                for (int i = 0; i < x.length; i++) {
                    expected[i] = format == DType.BF16 ? Bf16.roundTrip(x[i]) : Fp16.decode(Fp16.encode(x[i]));
                }
                assertArrayEquals(expected, session.dequantize(columns));
                assertArrayEquals(Data.transpose(expected, 13, 29), session.dequantize(rows));
                assertEquals(format, columns.storedFormat(0));
            }
        }
    }

    @Test
    void valuesThatAreNotFiniteAreNotedAndKept() {
        try (Session session = new Session()) {
            HostOperand operand = Session.operand(
                    session.quantize(both(DType.BF16), new float[] {Float.POSITIVE_INFINITY, 1}, 1, 2),
                    Contraction.COLUMNS);
            assertEquals(Float.POSITIVE_INFINITY, session.dequantize(operand)[0]);
            assertEquals(Role.WEIGHT, session.takeNonFinite().getFirst().role());
        }
    }

    @Test
    void nothingLeaks() {
        Session session = new Session();
        for (DType format : List.of(DType.FP32, DType.BF16, DType.E4M3)) {
            session.quantize(both(format), Data.normal(3, 12), 3, 4);
        }
        session.close();
        session.backend.memory().live().forEach((tag, bytes) -> assertEquals(0L, bytes, tag.name()));
    }
}
