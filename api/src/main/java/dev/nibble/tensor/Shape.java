package dev.nibble.tensor;

import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;

/**
 * The extents of a tensor, row-major: the last one is contiguous.
 *
 * @param dims extents, each at least 0; no extent is a scalar
 */
public record Shape(List<Long> dims) {
    /** Checks the extents. */
    public Shape {
        dims = List.copyOf(dims);
        long elements = 1;
        for (long dim : dims) {
            if (dim < 0) {
                throw new IllegalArgumentException("shape " + dims + " has a negative extent");
            }
            elements = Math.multiplyExact(elements, dim);
        }
    }

    /** {@return the shape with these extents} */
    public static Shape of(long... dims) {
        return new Shape(Arrays.stream(dims).boxed().toList());
    }

    /** {@return the number of extents} */
    public int rank() {
        return dims.size();
    }

    /** {@return the number of elements; 1 for a scalar} */
    public long elements() {
        long elements = 1;
        for (long dim : dims) {
            elements *= dim;
        }
        return elements;
    }

    /** {@return the last extent: the columns of the matrix view; 1 for a scalar} */
    public long cols() {
        return dims.isEmpty() ? 1 : dims.getLast();
    }

    /** {@return the product of all extents but the last: the rows of the matrix view} */
    public long rows() {
        long rows = 1;
        for (int i = 0; i < dims.size() - 1; i++) {
            rows *= dims.get(i);
        }
        return rows;
    }

    @Override
    public String toString() {
        return dims.stream().map(String::valueOf).collect(Collectors.joining(", ", "[", "]"));
    }
}
