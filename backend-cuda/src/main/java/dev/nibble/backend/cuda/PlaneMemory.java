package dev.nibble.backend.cuda;

import dev.nibble.quant.Contraction;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Shape;
import java.util.ArrayList;
import java.util.List;

/** Memory of the operands of one matrix, and what their kernels work in: that is given back when it is closed. */
final class PlaneMemory implements AutoCloseable {
    private final CudaScope scope;
    private final CudaMemory memory;
    private final DeviceMatrix values;
    private final String label;
    private final List<CudaTensor> scratch = new ArrayList<>();

    /**
     * Makes the memory of one matrix.
     *
     * @param scope the open step
     * @param memory allocator of the backend
     * @param values what is rounded
     * @param label names the tensor in messages
     */
    PlaneMemory(CudaScope scope, CudaMemory memory, DeviceMatrix values, String label) {
        this.scope = scope;
        this.memory = memory;
        this.values = values;
        this.label = label;
    }

    /** {@return padded memory for codes; for FP32 in the order of the matrix, the matrix itself} */
    CudaTensor codes(PlaneSpec plane, Contraction contraction) {
        boolean columns = contraction == Contraction.COLUMNS;
        if (plane.format() == DType.FP32 && columns) {
            return values.tensor().share();
        }
        long rows = columns ? values.rows() : values.cols();
        long k = columns ? values.cols() : values.rows();
        return scope.allocateCodes(label + " codes", plane.format(), rows, k);
    }

    /** {@return one element a group, [kGroups, rowGroups] of the operand for a contraction} */
    CudaTensor groups(String what, DType dtype, GroupGrid grid, Contraction contraction) {
        boolean columns = contraction == Contraction.COLUMNS;
        return allocate(
                what,
                dtype,
                columns ? Shape.of(grid.colBlocks(), grid.rowBlocks()) : Shape.of(grid.rowBlocks(), grid.colBlocks()));
    }

    /** {@return a tensor without elements} */
    CudaTensor none(String what, DType dtype) {
        return allocate(what, dtype, Shape.of(0));
    }

    /** {@return a tensor that lives until it or the step is closed} */
    CudaTensor allocate(String what, DType dtype, Shape shape) {
        return scope.allocate(label + " " + what, dtype, shape);
    }

    /** {@return the address of bytes to work in} */
    long scratch(String what, long bytes) {
        CudaTensor tensor = memory.scratch(label + " " + what, bytes);
        scratch.add(tensor);
        return tensor.address();
    }

    /** {@return the tensor, which nobody needs when all is enqueued} */
    CudaTensor passing(CudaTensor tensor) {
        scratch.add(tensor);
        return tensor;
    }

    /** Gives back what kernels work in: what was enqueued comes before whoever gets it. */
    @Override
    public void close() {
        scratch.forEach(CudaTensor::close);
    }
}
