package dev.nibble.backend.cpu;

import dev.nibble.gemm.Arithmetic;
import dev.nibble.gemm.Epilogue;
import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Sampling;
import dev.nibble.gemm.Term;
import dev.nibble.host.HostExecution;
import dev.nibble.host.HostMemory;
import dev.nibble.host.HostOperand;
import dev.nibble.host.HostRuntime;
import dev.nibble.host.HostTensor;
import dev.nibble.quant.Granularity;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.reference.LeverageSampling;
import dev.nibble.reference.ReferenceGemm;
import dev.nibble.spi.GemmBackend;
import dev.nibble.spi.Operand;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.stream.IntStream;

/**
 * Matrix products with the Vector API, bit-equal to {@link ReferenceGemm} for any number of threads.
 *
 * <p>Products of integer codes go to the native library where there is one. On the portable path every format is
 * widened to FP32 while it is packed, and one kernel of fused multiply-adds computes all sums. INT8 sums are exact in
 * it: a block has at most 256 products of magnitude 127², and 256 · 127² is below 2^24; longer segments add blocks up
 * as integers. The Vector API reaches no 8-bit multiply instruction, so INT8 saves memory there, not time.
 */
final class CpuGemm implements GemmBackend, AutoCloseable {
    /** Elements of the right operand that are packed at a time: 32 MiB. */
    private static final int PACK_LIMIT = 1 << 23;

    private static final int LARGEST_PACKED = 1 << 30; // elements; the largest power of two that an array can have
    // An area: its panels of A, 512 KiB, stay in an L2 cache; its accumulators, 1 MiB, pass through it in order.
    private static final int AREA_ROWS = 512;
    private static final int AREA_COLUMNS = 1024;
    private static final int SMALLEST_AREA_ROWS = 32;
    private static final int SMALLEST_AREA_COLUMNS = 256;

    private final HostRuntime runtime;
    private final Workers workers;
    private final ReferenceGemm reference;
    private final int packLimit;
    private final Optional<NativeProduct> nativeProduct;
    private final RateWatch watch = new RateWatch();

    /**
     * Makes the operation.
     *
     * @param kernels of the native library; none for the portable path
     */
    CpuGemm(HostRuntime runtime, Workers workers, Optional<NativeKernels> kernels) {
        this(runtime, workers, kernels, PACK_LIMIT);
    }

    /** Makes an operation that packs fewer elements at a time, so that a test need not be large. */
    CpuGemm(HostRuntime runtime, Workers workers, Optional<NativeKernels> kernels, int packLimit) {
        this.runtime = runtime;
        this.workers = workers;
        this.packLimit = packLimit;
        this.nativeProduct = kernels.map(k -> new NativeProduct(k, runtime, workers, (long) packLimit * Float.BYTES));
        this.reference = new ReferenceGemm(runtime);
    }

    @Override
    public void multiply(StepScope scope, GemmSpec spec, Site site, Operand a, Operand b, Tensor d) {
        HostOperand left = HostOperand.of(a);
        HostOperand right = HostOperand.of(b);
        ReferenceGemm.requireFit(spec, site, left, right, d);
        boolean drawn = LeverageSampling.draws(spec, left, right);
        boolean gathers = spec.sampling() != Sampling.NONE && GatheredProduct.isUsual(spec, left, right);
        if (isRare(spec, left, right) || (drawn && !gathers)) {
            reference.multiply(scope, spec, site, a, b, d);
            return;
        }
        SumOrder order = SumOrder.of(spec, left, right);
        if (RowProduct.takes(spec, order, left, right)) {
            runtime.log()
                    .launched(HostExecution.row(
                            site, spec, left, right, RowProduct.KERNEL, computeType(Arithmetic.FLOAT)));
            RowProduct.multiply(workers, spec, left, right, HostTensor.floats(d));
            return;
        }
        var sampled = new SampledProduct(workers, spec, left, right);
        Optional<long[][]> norms = gathers && !drawn ? sampled.normsWithZeros() : Optional.empty();
        String suffix = drawn ? "-sampled" : norms.isPresent() ? "-nonzero-rows" : "";
        Arithmetic arithmetic = arithmetic(spec.terms().getFirst(), left, right);
        Optional<NativeProduct> taking = nativeProduct.filter(n -> takesAll(n, spec, left, right));
        String computeType = taking.isPresent() && arithmetic == Arithmetic.EXACT
                ? "integer codes, exact int32 sums, fp32 scale"
                : computeType(arithmetic);
        String kernel =
                "cpu-" + taking.map(n -> n.label(arithmetic)).orElse("vector") + kernelName(spec, left) + suffix;
        runtime.log().launched(HostExecution.row(site, spec, left, right, kernel, computeType));
        if (drawn) {
            sampled.leverage(gathered(spec, left, right, d), site, scope.context(), runtime.seed());
        } else if (norms.isPresent()) {
            sampled.nonzero(gathered(spec, left, right, d), norms.get());
        } else {
            long start = System.nanoTime();
            multiplyAll(spec, order, left, right, HostTensor.of(d));
            long operations = 2 * left.rows() * right.rows() * left.k();
            watch.note(kernel, operations, System.nanoTime() - start);
        }
    }

    /** {@return whether the native library, if there is one, computes the product} */
    private static boolean takesAll(NativeProduct library, GemmSpec spec, HostOperand a, HostOperand b) {
        return spec.terms().stream()
                .allMatch(term ->
                        library.takes(a.planes().get(term.planeA()), b.planes().get(term.planeB())));
    }

    private static boolean takesAll(NativeProduct library, List<PlaneUse> a, List<PlaneUse> b, SumOrder order) {
        return !order.blocks().isEmpty()
                && IntStream.range(0, a.size())
                        .allMatch(i -> library.takes(a.get(i).plane(), b.get(i).plane()));
    }

    private GatheredProduct gathered(GemmSpec spec, HostOperand left, HostOperand right, Tensor d) {
        return new GatheredProduct(this, runtime, spec, left, right, HostTensor.floats(d));
    }

    private void multiplyAll(GemmSpec spec, SumOrder order, HostOperand left, HostOperand right, HostTensor d) {
        List<PlaneUse> usesA = new ArrayList<>();
        List<PlaneUse> usesB = new ArrayList<>();
        for (Term term : spec.terms()) {
            usesA.add(PlaneUse.of(left.planes().get(term.planeA()), left.rows(), term.weightA()));
            usesB.add(PlaneUse.of(right.planes().get(term.planeB()), right.rows(), term.weightB()));
        }
        Optional<NativeProduct> library = nativeProduct.filter(known -> takesAll(known, usesA, usesB, order));
        if (spec.epilogue() == Epilogue.ADD && library.isPresent()) {
            Optional<float[]> zeros = d.takeZeros();
            if (zeros.isPresent()) {
                library.get().addToZeros(usesA, usesB, order, zeros.get());
                return;
            }
        }
        multiply(usesA, usesB, order, HostTensor.floats(d), spec.epilogue(), false);
    }

    /**
     * Computes the terms of a product.
     *
     * @param usesA planes of A, one for each term
     * @param usesB planes of B, one for each term
     * @param d [rows of A, rows of B]
     * @param continues whether the sums go on from what D holds
     */
    void multiply(
            List<PlaneUse> usesA,
            List<PlaneUse> usesB,
            SumOrder order,
            float[] d,
            Epilogue epilogue,
            boolean continues) {
        if (nativeProduct.isPresent() && takesAll(nativeProduct.get(), usesA, usesB, order)) {
            nativeProduct.get().multiply(usesA, usesB, order, d, epilogue, continues);
            return;
        }
        int m = usesA.getFirst().rows();
        int n = usesB.getFirst().rows();
        int columns = columnsAtATime(order.k());
        for (int column = 0; column < n; column += columns) {
            int endColumn = n - column > columns ? column + columns : n;
            var out = new BlockProduct.Result(d, m, n, column, endColumn, epilogue, continues);
            multiplyColumns(usesA, usesB, order, out);
        }
    }

    /** Float operands with absent blocks have no use yet, and tiles of more than 2^30 elements no array. */
    private static boolean isRare(GemmSpec spec, HostOperand a, HostOperand b) {
        boolean masked = spec.terms().stream()
                .anyMatch(t -> a.planes().get(t.planeA()).masked()
                        || b.planes().get(t.planeB()).masked());
        Arithmetic first = arithmetic(spec.terms().getFirst(), a, b);
        boolean mixed = spec.terms().stream().anyMatch(term -> arithmetic(term, a, b) != first);
        return mixed || (masked && first == Arithmetic.FLOAT) || a.k() * TileKernel.WIDTH > LARGEST_PACKED;
    }

    private static Arithmetic arithmetic(Term term, HostOperand a, HostOperand b) {
        return Arithmetic.of(
                a.planes().get(term.planeA()).codes().dtype(),
                b.planes().get(term.planeB()).codes().dtype());
    }

    private static Arithmetic arithmetic(PlaneUse a, PlaneUse b) {
        return Arithmetic.of(a.plane().codes().dtype(), b.plane().codes().dtype());
    }

    /** {@return columns of D whose operand is packed at a time, a multiple of a tile's} */
    private int columnsAtATime(int k) {
        int tiles = packLimit / Math.max(1, k) / TileKernel.WIDTH;
        return Math.max(1, tiles) * TileKernel.WIDTH;
    }

    private void multiplyColumns(List<PlaneUse> usesA, List<PlaneUse> usesB, SumOrder order, BlockProduct.Result out) {
        HostMemory memory = runtime.memory();
        Map<PlaneUse, OperandPlane> planesA = new LinkedHashMap<>(); // terms may share a plane
        Map<PlaneUse, PackedPlane> planesB = new LinkedHashMap<>();
        try {
            for (PlaneUse use : usesA) {
                planesA.computeIfAbsent(
                        use, _ -> new OperandPlane(memory, use, order, 0, out.rows(), TileKernel.HEIGHT));
            }
            for (PlaneUse use : usesB) {
                planesB.computeIfAbsent(
                        use,
                        _ -> new PackedPlane(
                                memory, use, order, out.firstColumn(), out.endColumn() - out.firstColumn()));
            }
            for (PackedPlane plane : planesB.values()) {
                workers.forEach(plane.packTasks(), plane::pack);
            }
            multiplyPacked(new BlockProduct(
                    order,
                    arithmetic(usesA.getFirst(), usesB.getFirst()),
                    usesA.stream().map(planesA::get).toList(),
                    usesB.stream().map(planesB::get).toList(),
                    out));
        } finally {
            planesA.values().forEach(OperandPlane::close);
            planesB.values().forEach(PackedPlane::close);
        }
    }

    private void multiplyPacked(BlockProduct product) {
        List<BlockProduct.Area> areas = areas(product);
        if (areas.isEmpty()) {
            return;
        }
        int threads = Math.min(workers.threads(), areas.size());
        int length = areas.stream().mapToInt(BlockProduct.Area::tiles).max().orElseThrow() * TileKernel.TILE;
        boolean parts = product.order().segments().stream().anyMatch(s -> s.part() > 0);
        boolean gathers =
                product.arithmetic() == Arithmetic.EXACT && product.order().gathers();
        ArrayBlockingQueue<BlockProduct.Buffers> free = new ArrayBlockingQueue<>(threads);
        List<Tensor> tensors = new ArrayList<>();
        try {
            for (int i = 0; i < threads; i++) {
                free.add(new BlockProduct.Buffers(
                        floats(length, tensors),
                        floats(parts ? length : 0, tensors),
                        gathers ? wholes(length, tensors) : new int[0],
                        floats(TileKernel.TILE, tensors),
                        floats(AREA_ROWS * SumOrder.MAX_BLOCK, tensors),
                        floats(OperandPlane.STAGE, tensors)));
            }
            workers.forEach(areas.size(), i -> {
                BlockProduct.Buffers buffers = free.remove(); // there are as many as threads
                product.run(areas.get(i), buffers);
                free.add(buffers);
            });
        } finally {
            tensors.forEach(Tensor::close);
        }
    }

    private float[] floats(int length, List<Tensor> owner) {
        HostTensor tensor = runtime.memory().allocate("accumulators", DType.FP32, Shape.of(length), MemoryTag.SCRATCH);
        owner.add(tensor);
        return HostTensor.floats(tensor);
    }

    private int[] wholes(int length, List<Tensor> owner) {
        HostTensor tensor = runtime.memory().allocate("accumulators", DType.INT32, Shape.of(length), MemoryTag.SCRATCH);
        owner.add(tensor);
        int[] values = HostTensor.ints(tensor);
        Arrays.fill(values, 0);
        return values;
    }

    private List<BlockProduct.Area> areas(BlockProduct product) {
        int tileRows = Math.ceilDiv(product.out().rows(), TileKernel.HEIGHT);
        int tileColumns = Math.ceilDiv(product.out().endColumn() - product.out().firstColumn(), TileKernel.WIDTH);
        int height = AREA_ROWS / TileKernel.HEIGHT;
        int width = Math.max(1, AREA_COLUMNS / TileKernel.WIDTH);
        // Enough areas that no thread waits long for the last one.
        while (count(tileRows, height, tileColumns, width) < 4 * workers.threads()) {
            if (height > SMALLEST_AREA_ROWS / TileKernel.HEIGHT) {
                height /= 2;
            } else if (width > SMALLEST_AREA_COLUMNS / TileKernel.WIDTH && width > 1) {
                width /= 2;
            } else {
                break;
            }
        }
        List<BlockProduct.Area> areas = new ArrayList<>();
        for (int column = 0; column < tileColumns; column += width) {
            for (int row = 0; row < tileRows; row += height) {
                areas.add(new BlockProduct.Area(
                        row, Math.min(tileRows, row + height), column, Math.min(tileColumns, column + width)));
            }
        }
        return areas;
    }

    private static int count(int tileRows, int height, int tileColumns, int width) {
        return Math.multiplyExact(Math.ceilDiv(tileRows, height), Math.ceilDiv(tileColumns, width));
    }

    private static String kernelName(GemmSpec spec, HostOperand a) {
        PlaneSpec plane = a.planes().get(spec.terms().getFirst().planeA()).spec();
        DType format = a.planes().get(spec.terms().getFirst().planeA()).codes().dtype();
        String granularity = switch (plane.granularity()) {
            case Granularity.PerTensor _ -> "tensor";
            case Granularity.PerRow _ -> "row";
            case Granularity.PerBlock _ -> "block";
        };
        return format.family() == DType.Family.FLOAT ? "-" + format.label() : "-" + format.label() + "-" + granularity;
    }

    @Override
    public void close() {
        nativeProduct.ifPresent(NativeProduct::close);
    }

    private static String computeType(Arithmetic arithmetic) {
        return switch (arithmetic) {
            case EXACT -> "integer codes, exact sums in fp32 fma, fp32 scale";
            case CHAIN -> "codes, fp32 fma chains of 128, fp32 scale";
            case FLOAT -> "fp32 fma chain";
        };
    }
}
