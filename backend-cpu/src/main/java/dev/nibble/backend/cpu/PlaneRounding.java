package dev.nibble.backend.cpu;

import dev.nibble.host.HostTensor;
import dev.nibble.quant.PlaneSource;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.ScaleRule;
import dev.nibble.random.RandomStream;
import dev.nibble.tensor.DType;
import java.util.List;

/**
 * How the elements of a matrix become codes of at most 8 bits.
 *
 * @param plane format and rounding
 * @param passes round them
 * @param drawn whether they draw a number for each element
 * @param stream the numbers
 * @param integer whether NaN has the code 0
 * @param counted whether elements beyond the range are counted
 * @param low the smallest value of a code
 * @param high the largest value of a code
 * @param codes receive them: one plane, or an upper and a lower digit, [rows, cols] each
 */
record PlaneRounding(
        PlaneSpec plane,
        List<Pass> passes,
        boolean drawn,
        RandomStream stream,
        boolean integer,
        boolean counted,
        float low,
        float high,
        List<HostTensor> codes) {
    static PlaneRounding of(PlaneSpec plane, RandomStream stream, List<HostTensor> codes) {
        boolean digit = plane.source() instanceof PlaneSource.Digit;
        return new PlaneRounding(
                plane,
                Pass.rounding(plane),
                Pass.isStochastic(plane.rounding()),
                stream,
                plane.format().family() == DType.Family.INTEGER,
                !digit && plane.scaleRule() instanceof ScaleRule.Given,
                plane.scaleRule().bottom(plane.format()),
                plane.scaleRule().top(plane.format()),
                codes);
    }

    /** {@return columns of the matrix} */
    int cols() {
        return (int) codes.getFirst().shape().cols();
    }
}
