package dev.nibble.tensor;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import org.junit.jupiter.api.Test;

class ShapeTests {
    @Test
    void matrixViewFlattensTheLeadingExtents() {
        Shape shape = Shape.of(2, 3, 5);
        assertEquals(6, shape.rows());
        assertEquals(5, shape.cols());
        assertEquals(30, shape.elements());
        assertEquals("[2, 3, 5]", shape.toString());
    }

    @Test
    void scalarHasOneElement() {
        assertEquals(1, Shape.of().elements());
        assertEquals(1, Shape.of().rows());
        assertEquals(1, Shape.of().cols());
    }

    @Test
    void vectorIsOneRow() {
        assertEquals(1, Shape.of(7).rows());
        assertEquals(7, Shape.of(7).cols());
    }

    @Test
    void negativeOrHugeExtentsAreRejected() {
        assertThrows(IllegalArgumentException.class, () -> Shape.of(2, -1));
        assertThrows(ArithmeticException.class, () -> Shape.of(1L << 40, 1L << 40));
    }
}
