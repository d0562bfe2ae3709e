package dev.nibble.backend.cpu;

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
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.stream.Stream;

/**
 * Matrix products with the Vector API, bit-equal to {@link ReferenceGemm} for any number of threads.
 *
 * <p>Every format is widened to FP32 while it is packed, and one kernel of fused multiply-adds computes all sums.
 * INT8 sums are exact in it: a block has at most 256 products of magnitude 127², and 256 · 127² is below 2^24; longer
 * segments add blocks up as integers. The Vector API reaches no 8-bit multiply instruction, so INT8 saves memory
 * here, not time.
 */
final class CpuGemm implements GemmBackend {
    /** Elements of the right operand that are packed at a time: 32 MiB. */
    private static final int PACK_LIMIT = 1 << 23;

    private static final int LARGEST_PACKED = 1 << 30; // elements; the largest power of two that an array can have
    // An area: its panels of A, 256 KiB, stay in an L2 cache; its accumulators, 1 MiB, pass through it in order.
    private static final int AREA_ROWS = 256;
    private static final int AREA_COLUMNS = 1024;
    private static final int SMALLEST_AREA_ROWS = 32;
    private static final int SMALLEST_AREA_COLUMNS = 256;

    private final HostRuntime runtime;
    private final Workers workers;
    private final ReferenceGemm reference;
    private final int packLimit;

    CpuGemm(HostRuntime runtime, Workers workers) {
        this(runtime, workers, PACK_LIMIT);
    }

    /** Makes an operation that packs fewer elements at a time, so that a test need not be large. */
    CpuGemm(HostRuntime runtime, Workers workers, int packLimit) {
        this.runtime = runtime;
        this.workers = workers;
        this.packLimit = packLimit;
        this.reference = new ReferenceGemm(runtime);
    }

    @Override
    public void multiply(StepScope scope, GemmSpec spec, Site site, Operand a, Operand b, Tensor d) {
        HostOperand left = HostOperand.of(a);
        HostOperand right = HostOperand.of(b);
        ReferenceGemm.requireFit(spec, site, left, right, d);
        if (isRare(spec, left, right)) {
            reference.multiply(scope, spec, site, a, b, d);
            return;
        }
        runtime.log()
                .launched(HostExecution.row(
                        site, spec, left, right, kernelName(spec, left), computeType(family(spec, left))));
        SumOrder order = SumOrder.of(spec, left, right);
        int m = (int) left.rows();
        int n = (int) right.rows();
        int columns = columnsAtATime(order.k());
        for (int column = 0; column < n; column += columns) {
            int endColumn = n - column > columns ? column + columns : n;
            var out = new BlockProduct.Result(HostTensor.floats(d), m, n, column, endColumn, spec.epilogue());
            multiplyColumns(spec, left, right, order, out);
        }
    }

    /** Float operands with absent blocks have no use yet, and tiles of more than 2^30 elements no array. */
    private static boolean isRare(GemmSpec spec, HostOperand a, HostOperand b) {
        boolean masked = spec.terms().stream()
                .anyMatch(t -> a.planes().get(t.planeA()).masked()
                        || b.planes().get(t.planeB()).masked());
        boolean mixed = spec.terms().stream()
                        .map(t -> a.planes().get(t.planeA()).codes().dtype().family())
                        .distinct()
                        .count()
                > 1;
        boolean weighted = spec.terms().stream().anyMatch(t -> t.weightA() != 1 || t.weightB() != 1);
        boolean unusual = Stream.concat(a.planes().stream(), b.planes().stream())
                .map(plane -> plane.codes().dtype())
                .anyMatch(format -> format.family() == DType.Family.INTEGER && format != DType.INT8);
        Term first = spec.terms().getFirst();
        boolean families = a.planes().get(first.planeA()).codes().dtype().family()
                != b.planes().get(first.planeB()).codes().dtype().family();
        if (weighted || unusual || families || spec.sampling() != Sampling.NONE) {
            return true;
        }
        return mixed || (masked && family(spec, a) == DType.Family.FLOAT) || a.k() * TileKernel.WIDTH > LARGEST_PACKED;
    }

    /** {@return columns of D whose operand is packed at a time, a multiple of a tile's} */
    private int columnsAtATime(int k) {
        int tiles = packLimit / Math.max(1, k) / TileKernel.WIDTH;
        return Math.max(1, tiles) * TileKernel.WIDTH;
    }

    private static DType.Family family(GemmSpec spec, HostOperand a) {
        return a.planes().get(spec.terms().getFirst().planeA()).codes().dtype().family();
    }

    private void multiplyColumns(GemmSpec spec, HostOperand a, HostOperand b, SumOrder order, BlockProduct.Result out) {
        HostMemory memory = runtime.memory();
        Map<Integer, OperandPlane> planesA = new TreeMap<>();
        Map<Integer, PackedPlane> planesB = new TreeMap<>();
        try {
            for (Term term : spec.terms()) {
                planesA.computeIfAbsent(
                        term.planeA(),
                        plane -> new OperandPlane(memory, a, plane, order, 0, out.rows(), TileKernel.HEIGHT));
                planesB.computeIfAbsent(
                        term.planeB(),
                        plane -> new PackedPlane(
                                memory, b, plane, order, out.firstColumn(), out.endColumn() - out.firstColumn()));
            }
            for (PackedPlane plane : planesB.values()) {
                workers.forEach(plane.packTasks(), plane::pack);
            }
            multiplyPacked(new BlockProduct(order, family(spec, a), spec.terms(), planesA, planesB, out));
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
                product.family() == DType.Family.INTEGER && product.order().gathers();
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
        String format =
                a.planes().get(spec.terms().getFirst().planeA()).codes().dtype().label();
        String granularity = switch (plane.granularity()) {
            case Granularity.PerTensor _ -> "tensor";
            case Granularity.PerRow _ -> "row";
            case Granularity.PerBlock _ -> "block";
        };
        return family(spec, a) == DType.Family.FLOAT
                ? "cpu-vector-" + format
                : "cpu-vector-" + format + "-" + granularity;
    }

    private static String computeType(DType.Family family) {
        return switch (family) {
            case INTEGER -> "int8 codes, exact sums in fp32 fma, fp32 scale";
            case FP8 -> "fp8 codes, fp32 fma chains of 128, fp32 scale";
            case FLOAT -> "fp32 fma chain";
            case INDEX -> throw new IllegalStateException("an operand cannot be an index");
        };
    }
}
