package dev.nibble.backend.cpu;

import dev.nibble.host.HostOperand;
import dev.nibble.host.HostPlane;
import dev.nibble.host.HostQuantized;
import dev.nibble.host.HostTensor;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.OperandSpec;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.Statistic;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/**
 * Quantizes one matrix. Codes lie as the matrix does; an operand that contracts the rows reads them transposed, and
 * only its scales have an order of their own.
 */
final class MatrixQuantizer {
    private final QuantizeCall call;
    private final MatrixSource source;
    private final MatrixMoments moments;

    /**
     * Prepares a call.
     *
     * @param source what is rounded
     */
    MatrixQuantizer(QuantizeCall call, MatrixSource source) {
        this.call = call;
        this.source = source;
        HostTensor x = source.x();
        moments = new MatrixMoments(
                call.workers(), HostTensor.floats(x), (int) x.shape().rows(), (int)
                        x.shape().cols());
    }

    HostQuantized quantize() {
        // The operand that contracts the columns comes first: its blocks decide about the other one's, too.
        List<OperandSpec> specs = call.spec().operands().stream()
                .sorted(Comparator.comparing(OperandSpec::contraction))
                .toList();
        PlaneSet set = new PlaneSet(call, specs.getFirst(), source, moments);
        QuantizeStatistics statistics = new QuantizeStatistics(set.amaxes());
        List<HostOperand> operands = new ArrayList<>();
        for (OperandSpec operand : specs) {
            if (!operands.isEmpty() && !call.spec().sharesCodes()) {
                set.close();
                set = new PlaneSet(call, operand, source, moments);
            }
            List<QuantizedPlane> planes = new ArrayList<>();
            for (PlaneSpec plane : operand.planes()) {
                planes.add(set.plane(plane, operand, statistics));
            }
            if (operands.isEmpty() && planes.getFirst().scales().length == 1) {
                statistics.set(Statistic.SCALE, planes.getFirst().scales()[0]);
            }
            operands.add(operand(operand, planes));
        }
        set.close();
        return new HostQuantized(operands, statistics.store(call));
    }

    private HostOperand operand(OperandSpec operand, List<QuantizedPlane> planes) {
        boolean columns = operand.contraction() == Contraction.COLUMNS;
        List<HostPlane> stored = planes.stream()
                .map(plane -> plane.store(call, operand.contraction()))
                .toList();
        long rows = source.x().shape().rows();
        long cols = source.x().shape().cols();
        return new HostOperand(operand, columns ? rows : cols, columns ? cols : rows, stored);
    }
}
