package dev.nibble.backend.cuda;

import dev.nibble.tensor.DType;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Planes as bytes: 4-bit and exponent codes, and rows that are drawn, are unpacked to memory that lives until this is closed; INT8
 * stays where it is else. A code of E4M0, up to 256, becomes two digits. Terms may share a plane.
 */
final class PlaneBytes implements AutoCloseable {
    private static final String FILE = "gemm_codes";
    private static final int THREADS = 256;
    private static final int CHUNK = 16; // bytes that a thread writes
    private static final long BLOCKS_PER_PROCESSOR = 8;

    // The numbers of enum Digit in gemm_codes.cu.
    private static final List<Integer> WHOLE = List.of(0);
    private static final List<Integer> UPPER_AND_LOWER = List.of(1, 2);

    private final CudaRuntime runtime;
    private final ProductArguments arguments;
    private final Map<Source, List<Long>> digits = new HashMap<>();
    private final List<CudaTensor> scratch = new ArrayList<>();

    private record Source(long codes, RowList rows) {}

    PlaneBytes(CudaRuntime runtime, ProductArguments arguments) {
        this.runtime = runtime;
        this.arguments = arguments;
    }

    /** {@return the digits that the codes of a format are taken apart into, by their numbers in the kernels, upper first} */
    static List<Integer> digits(DType format) {
        return format == DType.E4M0 ? UPPER_AND_LOWER : WHOLE;
    }

    /** {@return bytes from row to row of an unpacked plane} */
    static long pitch(long k) {
        return CudaMemory.padded(k);
    }

    /**
     * {@return addresses of the digits of a plane, upper first}
     *
     * @param side the plane
     * @param list which of its rows are wanted, one behind the other
     * @param rows all its rows
     * @param k length of its contraction
     */
    List<Long> of(PlaneTerm.Side side, RowList list, long rows, long k) {
        if (staysInPlace(side, list)) {
            return List.of(side.codes());
        }
        Source source = new Source(side.codes(), list);
        List<Long> known = digits.get(source);
        if (known == null) {
            known = unpack(side, list, rows, k);
            digits.put(source, known);
        }
        return known;
    }

    /** {@return the plane with its first digit in place of its codes} */
    PlaneTerm.Side whole(PlaneTerm.Side side, RowList list, long rows, long k) {
        return staysInPlace(side, list)
                ? side
                : side.bytes(of(side, list, rows, k).getFirst(), pitch(k));
    }

    private static boolean staysInPlace(PlaneTerm.Side side, RowList list) {
        return side.format() == DType.INT8 && list.equals(RowList.ALL);
    }

    private List<Long> unpack(PlaneTerm.Side side, RowList list, long rows, long k) {
        List<Long> addresses = new ArrayList<>();
        for (int digit : digits(side.format())) {
            CudaTensor bytes = runtime.memory().scratch("codes as bytes", rows * pitch(k));
            scratch.add(bytes);
            addresses.add(bytes.address());
            Args args = runtime.args()
                    .struct(arguments.plane(side))
                    .pointer(bytes.address())
                    .pointer(list.list())
                    .pointer(list.count())
                    .i64(rows)
                    .i64(k)
                    .i64(pitch(k))
                    .i32(digit);
            long blocks = Math.ceilDiv(rows * pitch(k) / CHUNK, THREADS);
            long most = BLOCKS_PER_PROCESSOR * runtime.device().processors();
            runtime.kernels().get(FILE, "gemm_unpack").launch(Math.min(blocks, most), 1, 1, THREADS, 0, args);
        }
        return addresses;
    }

    @Override
    public void close() {
        scratch.forEach(CudaTensor::close);
    }
}
