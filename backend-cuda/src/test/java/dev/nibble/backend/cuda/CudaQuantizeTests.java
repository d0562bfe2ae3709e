package dev.nibble.backend.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import dev.nibble.quant.Contraction;
import dev.nibble.quant.Granularity;
import dev.nibble.quant.OperandSpec;
import dev.nibble.quant.Overflow;
import dev.nibble.quant.PlaneSource;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.ScaleRule;
import dev.nibble.quant.SplitMode;
import dev.nibble.quant.Statistic;
import dev.nibble.quant.Threshold;
import dev.nibble.quant.Transform;
import dev.nibble.random.Purpose;
import dev.nibble.random.RandomStream;
import dev.nibble.reference.BlockMetric;
import dev.nibble.reference.GroupScale;
import dev.nibble.reference.Rounder;
import dev.nibble.spi.DeviceState;
import dev.nibble.spi.Quantized;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.state.StateVector;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Role;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import dev.nibble.testkit.data.Bits;
import dev.nibble.testkit.data.Matrix;
import dev.nibble.testkit.data.SpecTable;
import dev.nibble.testkit.data.SpecialValues;
import dev.nibble.testkit.run.Rig;
import dev.nibble.testkit.run.StoredOperand;
import dev.nibble.testkit.run.StoredPlane;
import dev.nibble.testkit.run.StoredTensor;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import java.util.zip.CRC32;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.opentest4j.AssertionFailedError;

/** Codes, scales, masks and statistics on the device equal the plain code's bit for bit. */
class CudaQuantizeTests {
    private static final StepContext CONTEXT = new StepContext(5, 3, StepContext.Mode.TRAIN, 0);
    private static final Site SITE = new Site("blocks.1.mlp.down", 7);
    private static final Granularity TENSOR = new Granularity.PerTensor();
    private static final Granularity ROW = new Granularity.PerRow();
    private static final int SHOWN = 12;

    private final List<String> failures = new ArrayList<>();
    private CudaBackend backend;
    private Rig actual;
    private Rig plain;

    @BeforeEach
    void open() {
        Gpu.require();
        backend = Gpu.open();
        actual = new Rig(backend);
        plain = Rig.reference();
    }

    @AfterEach
    void close() {
        if (actual != null) {
            actual.close();
            plain.close();
        }
    }

    private void compare(QuantizeSpec spec, Matrix x) {
        Rig.Source source = new Rig.Source(spec, x, SpecTable.state(x.cols()));
        String what = "%s of [%d, %d]: ".formatted(spec, x.rows(), x.cols());
        try {
            assertSame(plain.quantize(CONTEXT, SITE, source), actual.quantize(CONTEXT, SITE, source));
            assertEquals(plain.backend().takeNonFinite(), backend.takeNonFinite(), "what was not finite");
        } catch (AssertionFailedError | IllegalArgumentException e) {
            failures.add(what + e.getMessage());
        }
    }

    private static void assertSame(StoredTensor expected, StoredTensor found) {
        Bits.assertSame("statistics", expected.statistics(), found.statistics());
        for (int i = 0; i < expected.operands().size(); i++) {
            StoredOperand one = expected.operands().get(i);
            StoredOperand other = found.operands().get(i);
            for (int plane = 0; plane < one.planes().size(); plane++) {
                StoredPlane a = one.planes().get(plane);
                StoredPlane b = other.planes().get(plane);
                String name = one.spec().contraction() + " plane " + plane;
                assertEquals(a.format(), b.format(), name);
                Bits.assertSame(name + " scales", a.scales(), b.scales());
                Bits.assertSame(name + " codes", a.codes(), b.codes());
            }
            Bits.assertSame(one.spec().contraction() + " meaning", one.dequantized(), other.dequantized());
        }
    }

    private void noFailures() {
        if (!failures.isEmpty()) {
            fail(failures.size() + " comparisons failed, first:\n"
                    + String.join("\n", failures.subList(0, Math.min(SHOWN, failures.size()))));
        }
    }

    @Test
    void everySpecOfTheTableEqualsThePlainCode() {
        Matrix special = SpecialValues.mixed(11, 5, 144);
        Matrix normal = Matrix.normal(3, 19, 33, 1);
        Matrix notFinite = normal.with(normal.values().length / 2, Float.NaN)
                .with(normal.values().length - 1, Float.NEGATIVE_INFINITY);
        for (QuantizeSpec spec : SpecTable.quantizations()) {
            compare(spec, special);
            compare(spec, normal);
            compare(spec, notFinite);
        }
        noFailures();
    }

    @Test
    void oddShapesEqualThePlainCode() {
        List<QuantizeSpec> specs = SpecTable.quantizations();
        int turn = 0;
        for (int rows : SpecialValues.EXTENTS) {
            for (int cols : SpecialValues.EXTENTS) {
                Matrix x = SpecialValues.mixed(rows + cols, rows, cols);
                for (int i = turn++ % 29; i < specs.size(); i += 29) { // each spec meets some shapes
                    compare(specs.get(i), x);
                }
            }
        }
        noFailures();
    }

    /** {@return blocks that a tile holds whole, and blocks that it does not} */
    private static List<Granularity> blocks() {
        return Stream.of(
                        new int[] {128, 128},
                        new int[] {64, 64},
                        new int[] {32, 128},
                        new int[] {1, 128},
                        new int[] {128, 1},
                        new int[] {2, 8},
                        new int[] {48, 16},
                        new int[] {256, 256},
                        new int[] {16, 1024},
                        new int[] {100, 3})
                .<Granularity>map(extents -> new Granularity.PerBlock(extents[0], extents[1]))
                .toList();
    }

    private static List<PlaneSpec> planes(Granularity granularity) {
        ScaleRule amax = new ScaleRule.AmaxOverTop();
        ScaleRule top = new ScaleRule.TopOverAmax(true);
        return List.of(
                PlaneSpec.value(DType.INT8, granularity, amax, Rounding.NEAREST_EVEN),
                PlaneSpec.value(DType.INT8, granularity, amax, Rounding.STOCHASTIC),
                PlaneSpec.value(DType.INT4, granularity, amax, Rounding.NEAREST_EVEN),
                PlaneSpec.value(DType.UINT4, granularity, amax, Rounding.STOCHASTIC),
                PlaneSpec.value(DType.E4M3, granularity, top, Rounding.NEAREST_EVEN),
                PlaneSpec.value(DType.E5M2, granularity, top, Rounding.STOCHASTIC),
                PlaneSpec.value(DType.E3M0, granularity, amax, Rounding.STOCHASTIC_LOG));
    }

    @Test
    void blocksOfAnyExtentEqualThePlainCode() {
        for (int[] shape : new int[][] {{300, 260}, {129, 131}}) {
            Matrix x = SpecialValues.mixed(5, shape[0], shape[1]);
            Matrix normal = Matrix.normal(6, shape[0], shape[1], 3);
            for (Granularity granularity : blocks()) {
                for (PlaneSpec plane : planes(granularity)) {
                    compare(QuantizeSpec.both(Role.GRAD_OUTPUT, List.of(plane)), x);
                    compare(
                            new QuantizeSpec(Role.INPUT, List.of(new OperandSpec(Contraction.ROWS, List.of(plane)))),
                            normal);
                    compare(
                            new QuantizeSpec(Role.INPUT, List.of(new OperandSpec(Contraction.COLUMNS, List.of(plane)))),
                            normal);
                }
            }
        }
        noFailures();
    }

    @Test
    void contractionsWithDifferentPlanesEqualThePlainCode() {
        Matrix x = SpecialValues.mixed(5, 261, 140);
        List<PlaneSpec> tensor = planes(TENSOR);
        List<PlaneSpec> row = planes(ROW);
        for (PlaneSpec columns : Stream.concat(tensor.stream(), row.stream()).toList()) {
            for (PlaneSpec rows : List.of(row.get(1), tensor.get(0), row.get(4), PlaneSpec.unscaled(DType.BF16))) {
                compare(
                        new QuantizeSpec(
                                Role.GRAD_OUTPUT,
                                List.of(
                                        new OperandSpec(Contraction.ROWS, List.of(rows)),
                                        new OperandSpec(Contraction.COLUMNS, List.of(columns)))),
                        x);
            }
        }
        PlaneSpec sample = SpecTable.power(DType.E3M0, 6);
        compare( // the products share the first samples
                new QuantizeSpec(
                        Role.GRAD_OUTPUT,
                        List.of(
                                new OperandSpec(Contraction.COLUMNS, sample.samples(1)),
                                new OperandSpec(Contraction.ROWS, sample.samples(3)))),
                x);
        noFailures();
    }

    @Test
    void fallbackOfLargeMatricesEqualsThePlainCode() {
        Matrix x = Matrix.normal(8, 300, 520, 1).map((row, col, v) -> row % 131 == 5 && col % 97 == 3 ? 40 * v : v);
        for (int extent : new int[] {128, 32, 256}) {
            for (Threshold threshold : List.of(new Threshold.Delayed("threshold"), new Threshold.ExactQuantile(0.8))) {
                PlaneSpec first = SpecTable.int8(new Granularity.PerBlock(extent, extent), Rounding.NEAREST_EVEN);
                compare(
                        QuantizeSpec.both(Role.INPUT, List.of(first, PlaneSpec.residual(first, threshold))),
                        x.map((_, _, v) -> v / 5));
            }
        }
        noFailures();
    }

    @Test
    void oneBadElementAnywhereIsSeen() {
        PlaneSpec int8 = SpecTable.int8(new Granularity.PerBlock(128, 128), Rounding.NEAREST_EVEN);
        List<List<PlaneSpec>> specs = List.of(
                List.of(int8),
                List.of(int8, PlaneSpec.residual(int8, new Threshold.ExactQuantile(0.5))),
                List.of(SpecTable.int8(ROW, Rounding.STOCHASTIC)),
                List.of(SpecTable.fp8(DType.E5M2, TENSOR)),
                List.of(PlaneSpec.unscaled(DType.FP32)),
                PlaneSpec.digits(SplitMode.UNBIASED));
        for (int[] shape : new int[][] {{129, 131}, {128, 256}}) {
            Matrix normal = Matrix.normal(5, shape[0], shape[1], 1);
            for (float bad : SpecialValues.NOT_FINITE) {
                for (int place : SpecialValues.places(shape[0], shape[1])) {
                    for (List<PlaneSpec> planes : specs) {
                        compare(QuantizeSpec.both(Role.INPUT, planes), normal.with(place, bad));
                    }
                }
            }
        }
        noFailures();
    }

    /** Specs whose kernels differ: one pass and two, one orientation and both, all kinds of codes. */
    private static List<QuantizeSpec> representatives() {
        List<QuantizeSpec> specs = new ArrayList<>();
        for (Granularity granularity : List.of(TENSOR, ROW, new Granularity.PerBlock(128, 128))) {
            planes(granularity).forEach(plane -> specs.add(QuantizeSpec.both(Role.GRAD_OUTPUT, List.of(plane))));
        }
        SpecTable.residuals().subList(0, 15).forEach(planes -> specs.add(QuantizeSpec.both(Role.INPUT, planes)));
        specs.add(QuantizeSpec.both(Role.GRAD_OUTPUT, PlaneSpec.digits(SplitMode.UNBIASED)));
        specs.add(QuantizeSpec.both(
                Role.INPUT,
                List.of(PlaneSpec.value(
                        DType.INT4, TENSOR, new ScaleRule.Sawb(12.1f, 12.2f, 7, -7, 7), Rounding.NEAREST_EVEN))));
        return specs;
    }

    @Test
    void anyGridGivesTheSameBits() {
        Matrix x = SpecialValues.mixed(5, 402, 391);
        for (QuantizeSpec spec : representatives()) {
            Rig.Source source = new Rig.Source(spec, x, SpecTable.state(x.cols()));
            StoredTensor expected = actual.quantize(CONTEXT, SITE, source);
            for (int blocks : new int[] {132, 66, 7, 1}) {
                StoredTensor found = onGrid(blocks, source);
                try {
                    assertSame(expected, found);
                } catch (AssertionFailedError e) {
                    failures.add(blocks + " blocks, " + spec + ": " + e.getMessage());
                }
            }
        }
        noFailures();
    }

    private StoredTensor onGrid(int blocks, Rig.Source source) {
        CudaQuantize quantization = new CudaQuantize(backend.runtime(), blocks);
        try (Tensor x = actual.tensor(source.x());
                DeviceState state = backend.allocateState(source.state())) {
            List<CudaOperand> operands = new ArrayList<>();
            List<Tensor> tensors = new ArrayList<>();
            try (StepScope scope = backend.beginStep(CONTEXT);
                    Quantized quantized = quantization.quantize(scope, source.spec(), SITE, x, state)) {
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
                    stored.add(stored(operand, backend.readFloats(meaning)));
                }
            }
            try (Tensor statistics = tensors.getLast()) {
                return new StoredTensor(stored, backend.readFloats(statistics));
            }
        }
    }

    private StoredOperand stored(CudaOperand operand, float[] meaning) {
        List<StoredPlane> planes = new ArrayList<>();
        for (int plane = 0; plane < operand.planes().size(); plane++) {
            planes.add(new StoredPlane(
                    operand.spec().planes().get(plane),
                    operand.storedFormat(plane),
                    backend.readCodes(operand, plane),
                    backend.readScales(operand, plane)));
        }
        return new StoredOperand(operand.spec(), (int) operand.rows(), (int) operand.k(), planes, meaning);
    }

    @Test
    void hundredRunsGiveTheSameBits() {
        Matrix x = Matrix.normal(5, 402, 391, 1);
        List<QuantizeSpec> specs = representatives();
        for (int i = 0; i < specs.size(); i += 4) { // 4 divides no number of kinds of planes
            QuantizeSpec spec = specs.get(i);
            Rig.Source source = new Rig.Source(spec, x, SpecTable.state(x.cols()));
            StoredTensor expected = actual.quantize(CONTEXT, SITE, source);
            for (int run = 0; run < 100; run++) {
                assertSame(expected, actual.quantize(CONTEXT, SITE, source));
            }
        }
    }

    /** Rows up to the next multiple of 128 and the rest of each row hold code 0, whatever was in memory. */
    @Test
    void paddingHoldsCodeZero() {
        Matrix x = Matrix.normal(5, 130, 141, 1).map((_, _, v) -> v + 3);
        for (QuantizeSpec spec : representatives()) {
            try (Tensor tensor = actual.tensor(x);
                    DeviceState state = backend.allocateState(SpecTable.state(x.cols()))) {
                List<CudaOperand> operands = new ArrayList<>();
                try (StepScope scope = backend.beginStep(CONTEXT)) {
                    CudaTensor dirt = CudaScope.of(scope).allocateCodes("dirt", DType.FP32, 2048, 2048);
                    backend.runtime().stream().fill(dirt.address(), (byte) 0xA5, dirt.bytes());
                    dirt.close();
                    Quantized quantized = backend.quantization().quantize(scope, spec, SITE, tensor, state);
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
        backend.runtime().staging().read(plane.address(), bytes, 0, bytes.length);
        int used = Math.toIntExact(Math.ceilDiv(plane.k() * plane.dtype().bits(), Byte.SIZE));
        for (int i = 0; i < bytes.length; i++) {
            if (i / pitch >= plane.rows() || i % pitch >= used) {
                assertEquals(
                        0, bytes[i], "row " + i / pitch + ", byte " + i % pitch + " of " + plane.codes() + " " + spec);
            }
        }
    }

    /** Runs that lie in a thread, in a warp, in shared memory, and in none of them. */
    @Test
    void hadamardTransformsOfEverySizeEqualThePlainCode() {
        Matrix x = Matrix.normal(4, 3, 8192, 1).with(77, Float.POSITIVE_INFINITY);
        for (int log2 = 0; log2 <= 13; log2++) {
            List<StateVector> vectors = List.of(StateVector.scalar("log2", log2));
            float[] expected = transformed(plain, x, vectors);
            Bits.assertSame("block of 2^" + log2, expected, transformed(actual, x, vectors));
        }
    }

    private static float[] transformed(Rig rig, Matrix x, List<StateVector> vectors) {
        try (DeviceState state = rig.backend().allocateState(vectors);
                Tensor values = rig.tensor(x)) {
            Transform transform = new Transform.BlockHadamard("log2");
            return rig.results(
                            CONTEXT,
                            scope -> List.of(
                                    rig.backend().quantization().transform(scope, transform, SITE, values, state)))
                    .getFirst();
        } finally {
            rig.backend().takeNonFinite();
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
        try (CudaTensor x =
                        backend.runtime().memory().allocate("x", DType.FP32, Shape.of(rows, cols), MemoryTag.SCRATCH);
                DeviceState state = backend.allocateState(List.of())) {
            backend.runtime().stream().fill(x.address(), (byte) 0x3F, x.bytes());
            for (int row = 0; row < block; row++) {
                long at = x.address() + (corner + (long) row * cols) * Float.BYTES;
                backend.runtime().staging().write(at, last.values(), row * block, block);
            }
            List<CudaOperand> operands = new ArrayList<>();
            QuantizeSpec spec = QuantizeSpec.both(Role.GRAD_OUTPUT, List.of(plane));
            try (StepScope scope = backend.beginStep(CONTEXT);
                    Quantized quantized = backend.quantization().quantize(scope, spec, SITE, x, state)) {
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
                    Rig.SEED, CONTEXT.step(), CONTEXT.microBatch(), SITE.ordinal(), Role.GRAD_OUTPUT, Purpose.ROUND, 0);
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
            backend.runtime().staging().read(at, codes, row * block, block);
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
                new PlaneSource.Value(), format, TENSOR, new ScaleRule.Unit(), Rounding.NEAREST_EVEN, overflow);
        QuantizeSpec spec = new QuantizeSpec(Role.INPUT, List.of(new OperandSpec(Contraction.COLUMNS, List.of(plane))));
        CRC32 crc = new CRC32();
        float[] values = new float[side * side];
        for (int chunk = 0; chunk < 256; chunk++) {
            for (int i = 0; i < values.length; i++) {
                values[i] = Float.intBitsToFloat(chunk << 24 | i);
            }
            try (Tensor x = actual.tensor(new Matrix(values, side, side));
                    DeviceState state = backend.allocateState(List.of())) {
                CudaOperand operand;
                try (StepScope scope = backend.beginStep(CONTEXT);
                        Quantized quantized = backend.quantization().quantize(scope, spec, SITE, x, state)) {
                    operand = CudaOperand.of(
                            quantized.operand(Contraction.COLUMNS).share());
                }
                try (operand) {
                    crc.update(backend.readCodes(operand, 0));
                }
            }
        }
        backend.takeNonFinite();
        return crc.getValue();
    }

    @Test
    void statisticsOfAnEmptyStateAreZero() {
        StoredTensor stored = actual.quantize(
                CONTEXT,
                SITE,
                new Rig.Source(
                        QuantizeSpec.both(Role.INPUT, List.of(PlaneSpec.unscaled(DType.BF16))),
                        Matrix.zeros(3, 5),
                        SpecTable.state(5)));
        for (Statistic statistic : Statistic.values()) {
            assertEquals(0, stored.statistic(statistic), statistic.name());
        }
        assertTrue(backend.takeNonFinite().isEmpty());
    }
}
