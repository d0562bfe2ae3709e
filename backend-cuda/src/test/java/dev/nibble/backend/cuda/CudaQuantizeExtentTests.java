package dev.nibble.backend.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.nibble.quant.Contraction;
import dev.nibble.quant.Granularity;
import dev.nibble.quant.OperandSpec;
import dev.nibble.quant.Overflow;
import dev.nibble.quant.PlaneSource;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.ScaleRule;
import dev.nibble.random.Purpose;
import dev.nibble.random.RandomStream;
import dev.nibble.reference.BlockMetric;
import dev.nibble.reference.GroupScale;
import dev.nibble.reference.Rounder;
import dev.nibble.spi.DeviceState;
import dev.nibble.spi.Quantized;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Role;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import dev.nibble.testkit.data.Matrix;
import dev.nibble.testkit.data.SpecTable;
import dev.nibble.testkit.run.Rig;
import java.util.ArrayList;
import java.util.List;
import java.util.zip.CRC32;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Matrices beyond 2^31 elements, and all floats. */
class CudaQuantizeExtentTests {
    private QuantizeDuel duel;

    @BeforeEach
    void open() {
        Gpu.require();
        duel = QuantizeDuel.open();
    }

    @AfterEach
    void close() {
        if (duel != null) {
            duel.close();
        }
    }

    /** A matrix of more than 2^31 elements: the last block, of which one may be computed by itself. */
    @Test
    @Tag("slow")
    void elementsBeyond2To31AreRoundedLikeOthers() {
        int rows = 65664;
        int cols = 32768;
        int block = 128;
        Matrix last = Matrix.normal(9, block, block, 1);
        PlaneSpec plane = SpecTable.int8(new Granularity.PerBlock(block, block), Rounding.STOCHASTIC);
        long corner = (rows - block) * (long) cols + cols - block;
        try (CudaTensor x = duel.backend()
                        .runtime()
                        .memory()
                        .allocate("x", DType.FP32, Shape.of(rows, cols), MemoryTag.SCRATCH);
                DeviceState state = duel.backend().allocateState(List.of())) {
            duel.backend().runtime().stream().fill(x.address(), (byte) 0x3F, x.bytes());
            for (int row = 0; row < block; row++) {
                long at = x.address() + (corner + (long) row * cols) * Float.BYTES;
                duel.backend().runtime().staging().write(at, last.values(), row * block, block);
            }
            List<CudaOperand> operands = new ArrayList<>();
            QuantizeSpec spec = QuantizeSpec.both(Role.GRAD_OUTPUT, List.of(plane));
            try (StepScope scope = duel.backend().beginStep(QuantizeDuel.CONTEXT);
                    Quantized quantized =
                            duel.backend().quantization().quantize(scope, spec, QuantizeDuel.SITE, x, state)) {
                for (OperandSpec operand : spec.operands()) {
                    operands.add(CudaOperand.of(
                            quantized.operand(operand.contraction()).share()));
                }
            }
            byte[] straight = corner(operands.getFirst(), block);
            byte[] transposed = corner(operands.getLast(), block);
            float amax = BlockMetric.quantile(magnitudes(last.values()), 1);
            GroupScale scale = GroupScale.int8(amax);
            RandomStream stream = new RandomStream(
                    Rig.SEED,
                    QuantizeDuel.CONTEXT.step(),
                    QuantizeDuel.CONTEXT.microBatch(),
                    QuantizeDuel.SITE.ordinal(),
                    Role.GRAD_OUTPUT,
                    Purpose.ROUND,
                    0);
            for (int row = 0; row < block; row++) {
                for (int col = 0; col < block; col++) {
                    float u = stream.uniform(corner + (long) row * cols + col);
                    byte code = Rounder.stochastic(scale.apply(last.at(row, col)), u);
                    assertEquals(code, straight[row * block + col], "row " + row + ", column " + col);
                    assertEquals(code, transposed[col * block + row], "row " + row + ", column " + col);
                }
            }
            operands.forEach(CudaOperand::close);
        }
    }

    private static float[] magnitudes(float[] values) {
        float[] magnitudes = new float[values.length];
        for (int i = 0; i < values.length; i++) {
            magnitudes[i] = Math.abs(values[i]);
        }
        return magnitudes;
    }

    /** {@return the last block of an operand's first plane, [block, block]} */
    private byte[] corner(CudaOperand operand, int block) {
        CudaPlane plane = operand.planes().getFirst();
        byte[] codes = new byte[block * block];
        for (int row = 0; row < block; row++) {
            long at = plane.address() + (plane.rows() - block + row) * plane.pitchBytes() + plane.k() - block;
            duel.backend().runtime().staging().read(at, codes, row * block, block);
        }
        return codes;
    }

    /** All 2^32 floats, against the checksums of an independent implementation of the casts. */
    @Test
    @Tag("slow")
    void castsToFp8OfAllFloatsHaveTheKnownChecksums() {
        assertEquals(0xB6DF9B17L, checksum(DType.E4M3, Overflow.SATURATE));
        assertEquals(0x16D9E5E4L, checksum(DType.E4M3, Overflow.INFINITY));
        assertEquals(0xE52C85E3L, checksum(DType.E5M2, Overflow.SATURATE));
        assertEquals(0x0A402E47L, checksum(DType.E5M2, Overflow.INFINITY));
    }

    private long checksum(DType format, Overflow overflow) {
        int side = 4096;
        PlaneSpec plane = new PlaneSpec(
                new PlaneSource.Value(),
                format,
                QuantizeDuel.TENSOR,
                new ScaleRule.Unit(),
                Rounding.NEAREST_EVEN,
                overflow);
        QuantizeSpec spec = new QuantizeSpec(Role.INPUT, List.of(new OperandSpec(Contraction.COLUMNS, List.of(plane))));
        CRC32 crc = new CRC32();
        float[] values = new float[side * side];
        for (int chunk = 0; chunk < 256; chunk++) {
            for (int i = 0; i < values.length; i++) {
                values[i] = Float.intBitsToFloat(chunk << 24 | i);
            }
            try (Tensor x = duel.actual().tensor(new Matrix(values, side, side));
                    DeviceState state = duel.backend().allocateState(List.of())) {
                CudaOperand operand;
                try (StepScope scope = duel.backend().beginStep(QuantizeDuel.CONTEXT);
                        Quantized quantized =
                                duel.backend().quantization().quantize(scope, spec, QuantizeDuel.SITE, x, state)) {
                    operand = CudaOperand.of(
                            quantized.operand(Contraction.COLUMNS).share());
                }
                try (operand) {
                    crc.update(duel.backend().readCodes(operand, 0));
                }
            }
        }
        duel.backend().takeNonFinite();
        return crc.getValue();
    }
}
