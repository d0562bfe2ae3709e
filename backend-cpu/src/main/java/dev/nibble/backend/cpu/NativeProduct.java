package dev.nibble.backend.cpu;

import dev.nibble.gemm.Arithmetic;
import dev.nibble.gemm.Epilogue;
import dev.nibble.host.HostPlane;
import dev.nibble.host.HostRuntime;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;

/**
 * Products by the native library, bit-equal to {@link BlockProduct}: sums of integer codes are exact, and the fold has its
 * order; sums of floats are the same chains.
 */
final class NativeProduct implements AutoCloseable {
    private static final int TILE_BYTES = NativeKernels.PANEL * NativeKernels.PANEL * Float.BYTES;
    private static final int SHORTEST_BLOCK = 16; // shorter ones would be padding for the most part
    private static final int GROUP_LENGTH =
            1024; // of the contraction: a panel of A and one of B, in the nearest caches
    private static final int FLOAT_GROUP = 256; // the same for floats: a panel of B is 32 KiB
    // An area: its panels of A of one group, 256 KiB, and its sums, 512 KiB, stay in an L2 cache.
    private static final int AREA_ROWS = 8; // panels
    private static final int AREA_COLUMNS = 16; // panels
    // An area of floats that are packed as they are multiplied: B's panels of one group, 256 KiB, what those of the
    // next
    // are packed from, and the sums, 256 KiB, stay in an L2 cache beside A's panels of the group.
    private static final int ONCE_COLUMNS = 8; // panels
    private static final int CHAINS = 2; // floats whose chains are folded, in gemm.h
    private static final int STORES = 0; // epilogues, in gemm.h
    private static final int ADDS = 1;
    private static final int ADDS_TO_ZEROS = 2;
    private static final int CALL = 13; // longs of MultiplyCall in gemm.h
    private static final int STEP = 11; // longs of Step in gemm.h
    private static final int ALIGNMENT = 64;
    private static final int WORK_ARRAYS = 3; // sums, sums of the parts before, exact sums
    private static final int LOCAL_BYTES = 1 << 20; // half of an L2 cache

    private final NativeKernels kernels;
    private final HostRuntime runtime;
    private final Workers workers;
    private final long packLimit; // bytes of a side
    private final NativeScratch scratch;

    NativeProduct(NativeKernels kernels, HostRuntime runtime, Workers workers, long packLimit) {
        this.kernels = kernels;
        this.runtime = runtime;
        this.workers = workers;
        this.packLimit = packLimit;
        this.scratch = new NativeScratch(runtime.memory(), kernels);
    }

    private NativeKernels.Level level() {
        return kernels.level();
    }

    /** {@return the instructions that a product uses} */
    String label(Arithmetic arithmetic) {
        return arithmetic == Arithmetic.EXACT ? level().label : "avx512";
    }

    /** {@return whether the library multiplies the planes} */
    boolean takes(HostPlane a, HostPlane b) {
        return takes(a)
                && takes(b)
                && NativeSide.floats(a) == NativeSide.floats(b)
                && NativeSide.fp8(a) == NativeSide.fp8(b);
    }

    /** {@return whether the library reads a plane's codes, and its blocks are no shorter than it likes} */
    private boolean takes(HostPlane plane) {
        if (NativeSide.fp8(plane)) {
            return level() != NativeKernels.Level.AVX2
                    && plane.spec().granularity().groupK(SHORTEST_BLOCK) >= SHORTEST_BLOCK;
        }
        if (NativeSide.floats(plane)) {
            return level() != NativeKernels.Level.AVX2 && !plane.masked() && !plane.scaled();
        }
        return NativeSide.format(plane.codes().dtype()) >= 0
                && plane.spec().granularity().groupK(SHORTEST_BLOCK) >= SHORTEST_BLOCK;
    }

    /** {@link CpuGemm#multiply(List, List, SumOrder, float[], Epilogue, boolean)}. */
    void multiply(
            List<PlaneUse> usesA,
            List<PlaneUse> usesB,
            SumOrder order,
            float[] d,
            Epilogue epilogue,
            boolean continues) {
        multiply(usesA, usesB, order, d, epilogue == Epilogue.ADD ? ADDS : STORES, continues);
    }

    /** Adds a product to zeros, which need not be written: what D holds does not count. */
    void addToZeros(List<PlaneUse> usesA, List<PlaneUse> usesB, SumOrder order, float[] d) {
        multiply(usesA, usesB, order, d, ADDS_TO_ZEROS, false);
    }

    private void multiply(
            List<PlaneUse> usesA, List<PlaneUse> usesB, SumOrder order, float[] d, int epilogue, boolean continues) {
        List<PlaneUse> planesA = List.copyOf(new LinkedHashSet<>(usesA)); // terms may share a plane
        List<PlaneUse> planesB = List.copyOf(new LinkedHashSet<>(usesB));
        boolean floats = NativeSide.floats(usesA.getFirst().plane());
        var terms = new ArrayList<NativeSteps.Term>();
        for (int i = 0; i < usesA.size(); i++) {
            terms.add(new NativeSteps.Term(planesA.indexOf(usesA.get(i)), planesB.indexOf(usesB.get(i))));
        }
        long[] call = new long[CALL];
        call[8] = usesB.getFirst().rows();
        call[10] = epilogue;
        call[11] = continues ? 1 : 0;
        call[12] = !floats ? 0 : NativeSide.fp8(usesA.getFirst().plane()) ? CHAINS : 1;
        multiply(new Request(planesA, planesB, terms, order, floats ? FLOAT_GROUP : GROUP_LENGTH, call, d));
    }

    /**
     * A product.
     *
     * @param groupLength of the contraction
     * @param call what all calls of the library have in common
     * @param d [M, N]
     */
    private record Request(
            List<PlaneUse> planesA,
            List<PlaneUse> planesB,
            List<NativeSteps.Term> terms,
            SumOrder order,
            int groupLength,
            long[] call,
            float[] d) {
        int m() {
            return planesA.getFirst().rows();
        }

        int n() {
            return planesB.getFirst().rows();
        }

        long bytesOfPanelA() {
            return planesA.size() * NativeSide.bytesOfPanel(planesA.getFirst(), order, false);
        }

        long bytesOfPanelB() {
            return planesB.size() * NativeSide.bytesOfPanel(planesB.getFirst(), order, true);
        }
    }

    private void multiply(Request request) {
        if (request.call()[12] == 1 && isOnce(request)) {
            multiplyOnce(request);
            return;
        }
        int rows = rowsAtATime(request.bytesOfPanelA(), packLimit);
        // Where each panel of B meets all of A at once, it need not be written farther than to the L2 cache.
        boolean once = request.m() <= AREA_ROWS * NativeKernels.PANEL;
        long limit = once ? Math.min(packLimit, (long) LOCAL_BYTES * workers.threads()) : packLimit;
        int columns = rowsAtATime(request.bytesOfPanelB(), limit);
        for (int row = 0; row < request.m(); row += Math.min(rows, request.m() - row)) {
            int endRow = Math.min(rows, request.m() - row);
            try (var a = new NativeSide(runtime.memory(), request.planesA(), request.order(), false, row, endRow)) {
                multiplyRows(request, a, row, columns);
            }
        }
    }

    /** {@return whether each panel of B meets all of A at once, and each side has one plane} */
    private boolean isOnce(Request request) {
        int panels = Math.ceilDiv(request.m(), NativeKernels.PANEL);
        return panels <= AREA_ROWS && request.terms().size() == 1 && panels * request.bytesOfPanelA() <= packLimit;
    }

    private void multiplyOnce(Request request) {
        int panels = Math.ceilDiv(request.n(), NativeKernels.PANEL);
        int columns = Math.min(panels, ONCE_COLUMNS);
        while (columns > 2 && workers.threads() > 1 && Math.ceilDiv(panels, columns) < 4 * workers.threads()) {
            columns /= 2; // enough areas that no thread waits long for the last one
        }
        int rowsB = Math.min(request.n(), columns * NativeKernels.PANEL);
        try (var a = new NativeSide(runtime.memory(), request.planesA(), request.order(), false, 0, request.m());
                var b = new NativeSide(runtime.memory(), request.planesB(), request.order(), true, 0, rowsB)) {
            multiplyOnce(request, a, b);
        }
    }

    /**
     * Packs A, and multiplies area by area.
     *
     * @param b the first area's panels
     */
    private void multiplyOnce(Request request, NativeSide a, NativeSide b) {
        var steps = new NativeSteps(request.order(), request.terms(), a, b, request.groupLength(), STEP);
        int columns = b.panels();
        int panels = Math.ceilDiv(request.n(), NativeKernels.PANEL);
        long[] call = request.call().clone();
        call[2] = a.panels();
        call[5] = a.rows();
        call[6] = request.n();
        call[9] = steps.groups().length / NativeSteps.GROUP;
        long bytesA = aligned(a.bytes());
        long bytesB = (long) columns * NativeKernels.PANEL * FLOAT_GROUP * Float.BYTES;
        long tiles = (long) a.panels() * columns * TILE_BYTES;
        long bytesOfSlot = bytesB + tiles * WORK_ARRAYS;
        int tasks = Math.ceilDiv(panels, columns);
        int threads = Math.min(workers.threads(), tasks);
        NativeSide.Packing packing = b.packing(0, request.n(), 0, columns);
        MemorySegment memory = scratch.lend(bytesA + threads * bytesOfSlot);
        try {
            workers.forEach(a.packTasks(), task -> a.pack(kernels, task, memory));
            workers.forEachSlot(threads, tasks, (slot, task) -> {
                MemorySegment own = memory.asSlice(bytesA + slot * bytesOfSlot, bytesOfSlot);
                NativeKernels.Work work = work(own.asSlice(bytesB), tiles, steps);
                long[] area = call.clone();
                area[3] = (long) task * columns;
                area[4] = Math.min(panels, (task + 1L) * columns);
                kernels.multiplyOnce(area, memory, packing, steps.groups(), steps.steps(), own, work, request.d());
            });
        } finally {
            scratch.giveBack();
        }
    }

    private void multiplyRows(Request request, NativeSide a, int row, int columns) {
        int n = request.n();
        long bytesA = aligned(a.bytes());
        int panelsB = Math.ceilDiv(Math.min(columns, n), NativeKernels.PANEL);
        long bytesB = aligned(panelsB * request.bytesOfPanelB());
        long tiles = (long) Math.min(AREA_ROWS, a.panels()) * Math.min(AREA_COLUMNS, panelsB) * TILE_BYTES;
        MemorySegment memory = scratch.lend(bytesA + bytesB + workers.threads() * tiles * WORK_ARRAYS);
        try {
            MemorySegment packedA = memory.asSlice(0, bytesA);
            MemorySegment packedB = memory.asSlice(bytesA, bytesB);
            for (int column = 0; column < n; column += Math.min(columns, n - column)) {
                int tasksA = column == 0 ? a.packTasks() : 0;
                try (var b = new NativeSide(
                        runtime.memory(),
                        request.planesB(),
                        request.order(),
                        true,
                        column,
                        Math.min(columns, n - column))) {
                    workers.forEach(tasksA + b.packTasks(), task -> {
                        if (task < tasksA) {
                            a.pack(kernels, task, packedA);
                        } else {
                            b.pack(kernels, task - tasksA, packedB);
                        }
                    });
                    var steps = new NativeSteps(request.order(), request.terms(), a, b, request.groupLength(), STEP);
                    long[] call = request.call().clone();
                    call[5] = a.rows();
                    call[6] = b.rows();
                    call[7] = (long) row * n + column;
                    call[9] = steps.groups().length / NativeSteps.GROUP;
                    var packed = new Packed(a, packedA, b, packedB, steps, call);
                    multiplyPacked(packed, memory, bytesA + bytesB, tiles, request.d());
                }
            }
        } finally {
            scratch.giveBack();
        }
    }

    /** Packed sides, and what the library is told about them. */
    private record Packed(
            NativeSide a, MemorySegment packedA, NativeSide b, MemorySegment packedB, NativeSteps steps, long[] call) {}

    private void multiplyPacked(Packed packed, MemorySegment memory, long workAt, long tiles, float[] d) {
        NativeSteps steps = packed.steps();
        List<int[]> areas = areas(packed.a().panels(), packed.b().panels());
        int threads = Math.min(workers.threads(), areas.size());
        var sideA = new NativeKernels.Side(packed.packedA(), packed.a().grid, packed.a().states);
        var sideB = new NativeKernels.Side(packed.packedB(), packed.b().grid, packed.b().states);
        workers.forEachSlot(threads, areas.size(), (slot, task) -> {
            long at = workAt + slot * tiles * WORK_ARRAYS;
            NativeKernels.Work own = work(memory.asSlice(at, tiles * WORK_ARRAYS), tiles, steps);
            int[] area = areas.get(task);
            long[] one = packed.call().clone();
            for (int i = 0; i < area.length; i++) {
                one[i + 1] = area[i];
            }
            kernels.multiply(one, sideA, sideB, steps.groups(), steps.steps(), own, d);
        });
    }

    /** {@return rows that are packed at a time: whole pairs of panels, so that lines of the cache are read once} */
    private static int rowsAtATime(long bytesOfPanel, long limit) {
        long pairs = Math.max(1, limit / bytesOfPanel / 2);
        return (int) Math.min(1 << 30, pairs * 2 * NativeKernels.PANEL);
    }

    private static NativeKernels.Work work(MemorySegment memory, long tiles, NativeSteps steps) {
        MemorySegment acc = memory.asSlice(0, tiles);
        MemorySegment total = memory.asSlice(tiles, tiles);
        MemorySegment whole = memory.asSlice(2 * tiles, tiles);
        if (steps.firstPart() > 0) {
            total.fill((byte) 0); // the parts before it are empty
        }
        return new NativeKernels.Work(acc, total, whole);
    }

    private static long aligned(long bytes) {
        return Math.ceilDiv(bytes, ALIGNMENT) * ALIGNMENT;
    }

    /** {@return panels of A from, to, panels of B from, to} Enough areas that no thread waits long for the last one. */
    private List<int[]> areas(int panelsA, int panelsB) {
        int height = AREA_ROWS;
        int width = AREA_COLUMNS;
        while (Math.ceilDiv(panelsA, height) * Math.ceilDiv(panelsB, width) < 4 * workers.threads()
                && height * width > 8) {
            if (2 * height > width) {
                height /= 2;
            } else {
                width /= 2;
            }
        }
        List<int[]> areas = new ArrayList<>();
        for (int column = 0; column < panelsB; column += width) {
            for (int row = 0; row < panelsA; row += height) {
                areas.add(new int[] {row, Math.min(panelsA, row + height), column, Math.min(panelsB, column + width)});
            }
        }
        return areas;
    }

    @Override
    public void close() {
        scratch.close();
    }
}
