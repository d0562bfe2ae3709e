package dev.nibble.backend.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.nibble.quant.OperandSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.spi.DeviceState;
import dev.nibble.spi.Quantized;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Tensor;
import dev.nibble.testkit.data.Matrix;
import dev.nibble.testkit.data.SpecTable;
import dev.nibble.testkit.data.SpecialValues;
import dev.nibble.testkit.run.Rig;
import dev.nibble.testkit.run.StoredOperand;
import dev.nibble.testkit.run.StoredPlane;
import dev.nibble.testkit.run.StoredTensor;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.opentest4j.AssertionFailedError;

/** Neither the launch nor what was in memory shows in a result. */
class CudaQuantizeLaunchTests {
    /** Columns of matrices whose rows begin anywhere, and of those whose rows begin on 16 bytes, which other kernels round. */
    private static final int[] COLS = {391, 392};

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

    @Test
    void anyGridGivesTheSameBits() {
        for (int cols : COLS) {
            Matrix x = SpecialValues.mixed(5, 402, cols);
            for (QuantizeSpec spec : QuantizeDuel.representatives()) {
                Rig.Source source = new Rig.Source(spec, x, SpecTable.state(x.cols()));
                StoredTensor expected = duel.actual().quantize(QuantizeDuel.CONTEXT, QuantizeDuel.SITE, source);
                for (int blocks : new int[] {132, 66, 7, 1}) {
                    compare(blocks, source, expected);
                }
            }
        }
        duel.noFailures();
    }

    private void compare(int blocks, Rig.Source source, StoredTensor expected) {
        try {
            QuantizeDuel.assertSame(expected, onGrid(blocks, source));
        } catch (AssertionFailedError e) {
            duel.failed(blocks + " blocks, " + source.spec() + ": " + e.getMessage());
        }
    }

    private StoredTensor onGrid(int blocks, Rig.Source source) {
        CudaQuantize quantization = new CudaQuantize(duel.backend().runtime(), blocks);
        try (Tensor x = duel.actual().tensor(source.x());
                DeviceState state = duel.backend().allocateState(source.state())) {
            List<CudaOperand> operands = new ArrayList<>();
            List<Tensor> tensors = new ArrayList<>();
            try (StepScope scope = duel.backend().beginStep(QuantizeDuel.CONTEXT);
                    Quantized quantized = quantization.quantize(scope, source.spec(), QuantizeDuel.SITE, x, state)) {
                for (OperandSpec operand : source.spec().operands()) {
                    CudaOperand made = CudaOperand.of(
                            quantized.operand(operand.contraction()).share());
                    operands.add(made);
                    tensors.add(quantization.dequantize(scope, made).share());
                }
                tensors.add(quantized.statistics().share());
            }
            List<StoredOperand> stored = new ArrayList<>();
            for (int i = 0; i < operands.size(); i++) {
                try (CudaOperand operand = operands.get(i);
                        Tensor meaning = tensors.get(i)) {
                    stored.add(stored(operand, duel.backend().readFloats(meaning)));
                }
            }
            try (Tensor statistics = tensors.getLast()) {
                return new StoredTensor(stored, duel.backend().readFloats(statistics));
            }
        }
    }

    private StoredOperand stored(CudaOperand operand, float[] meaning) {
        List<StoredPlane> planes = new ArrayList<>();
        for (int plane = 0; plane < operand.planes().size(); plane++) {
            planes.add(new StoredPlane(
                    operand.spec().planes().get(plane),
                    operand.storedFormat(plane),
                    duel.backend().readCodes(operand, plane),
                    duel.backend().readScales(operand, plane)));
        }
        return new StoredOperand(operand.spec(), (int) operand.rows(), (int) operand.k(), planes, meaning);
    }

    @Test
    void hundredRunsGiveTheSameBits() {
        Matrix x = Matrix.normal(5, 402, 392, 1);
        List<QuantizeSpec> specs = QuantizeDuel.representatives();
        for (int i = 0; i < specs.size(); i += 4) { // 4 divides no number of kinds of planes
            QuantizeSpec spec = specs.get(i);
            Rig.Source source = new Rig.Source(spec, x, SpecTable.state(x.cols()));
            StoredTensor expected = duel.actual().quantize(QuantizeDuel.CONTEXT, QuantizeDuel.SITE, source);
            for (int run = 0; run < 100; run++) {
                QuantizeDuel.assertSame(
                        expected, duel.actual().quantize(QuantizeDuel.CONTEXT, QuantizeDuel.SITE, source));
            }
        }
    }

    /** Rows up to the next multiple of 128 and the rest of each row hold code 0, whatever was in memory. */
    @Test
    void paddingHoldsCodeZero() {
        for (int cols : new int[] {141, 140}) {
            paddingHoldsCodeZero(Matrix.normal(5, 130, cols, 1).map((_, _, v) -> v + 3));
        }
    }

    private void paddingHoldsCodeZero(Matrix x) {
        for (QuantizeSpec spec : QuantizeDuel.representatives()) {
            try (Tensor tensor = duel.actual().tensor(x);
                    DeviceState state = duel.backend().allocateState(SpecTable.state(x.cols()))) {
                List<CudaOperand> operands = new ArrayList<>();
                try (StepScope scope = duel.backend().beginStep(QuantizeDuel.CONTEXT)) {
                    CudaTensor dirt = CudaScope.of(scope).allocateCodes("dirt", DType.FP32, 2048, 2048);
                    duel.backend().runtime().stream().fill(dirt.address(), (byte) 0xA5, dirt.bytes());
                    dirt.close();
                    Quantized quantized =
                            duel.backend().quantization().quantize(scope, spec, QuantizeDuel.SITE, tensor, state);
                    for (OperandSpec operand : spec.operands()) {
                        operands.add(CudaOperand.of(
                                quantized.operand(operand.contraction()).share()));
                    }
                    quantized.close();
                }
                for (CudaOperand operand : operands) {
                    operand.planes().forEach(plane -> assertPadded(spec, plane));
                    operand.close();
                }
            }
        }
    }

    private void assertPadded(QuantizeSpec spec, CudaPlane plane) {
        int pitch = (int) plane.pitchBytes();
        byte[] bytes = new byte[Math.toIntExact(CudaMemory.padded(plane.rows()) * pitch)];
        duel.backend().runtime().staging().read(plane.address(), bytes, 0, bytes.length);
        int used = Math.toIntExact(Math.ceilDiv(plane.k() * plane.dtype().bits(), Byte.SIZE));
        for (int i = 0; i < bytes.length; i++) {
            if (i / pitch >= plane.rows() || i % pitch >= used) {
                assertEquals(
                        0, bytes[i], "row " + i / pitch + ", byte " + i % pitch + " of " + plane.codes() + " " + spec);
            }
        }
    }
}
