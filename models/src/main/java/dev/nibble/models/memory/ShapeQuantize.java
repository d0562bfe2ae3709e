package dev.nibble.models.memory;

import dev.nibble.quant.Contraction;
import dev.nibble.quant.HadamardSearch;
import dev.nibble.quant.OperandSpec;
import dev.nibble.quant.PlaneSource;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.ScaleRule;
import dev.nibble.quant.Statistic;
import dev.nibble.quant.StraightThrough;
import dev.nibble.quant.Transform;
import dev.nibble.spi.DeviceState;
import dev.nibble.spi.Operand;
import dev.nibble.spi.QuantizeOps;
import dev.nibble.spi.Quantized;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepScope;
import dev.nibble.state.StateInput;
import dev.nibble.state.StateProgram;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** The sizes of operands, as the layout says: one set of codes for both contractions where they are the same, or one for each. */
final class ShapeQuantize implements QuantizeOps {
    private record Result(List<ShapeOperand> operands, ShapeTensor statistics) implements Quantized {
        @Override
        public Operand operand(Contraction contraction) {
            return operands.stream()
                    .filter(operand -> operand.spec().contraction() == contraction)
                    .findFirst()
                    .orElseThrow(() -> new IllegalArgumentException("no operand contracts " + contraction));
        }

        @Override
        public void close() {
            operands.forEach(ShapeOperand::close);
            statistics.close();
        }
    }

    @Override
    public Quantized quantize(StepScope scope, QuantizeSpec spec, Site site, Tensor x, DeviceState state) {
        ShapeScope own = ShapeScope.of(scope);
        String label = site.name() + " " + spec.role().label();
        List<OperandSpec> specs = spec.operands().stream()
                .sorted(Comparator.comparing(OperandSpec::contraction))
                .toList();
        Map<PlaneSpec, ShapeTensor> codes = new HashMap<>();
        List<ShapeOperand> operands = new ArrayList<>();
        for (OperandSpec operand : specs) {
            if (own.layout().eachContraction() || !spec.sharesCodes()) {
                codes.values().forEach(ShapeTensor::close);
                codes.clear();
            }
            for (PlaneSpec plane : operand.planes()) {
                codes.computeIfAbsent(plane, p -> codes(own, spec.transform(), label, p, operand.contraction(), x));
            }
            operands.add(operand(own, label, operand, codes, x.shape()));
        }
        codes.values().forEach(ShapeTensor::close);
        return new Result(operands, own.allocate(label + " statistics", DType.FP32, Shape.of(Statistic.count())));
    }

    private static ShapeTensor codes(
            ShapeScope scope, Transform transform, String label, PlaneSpec plane, Contraction contraction, Tensor x) {
        boolean turned = contraction == Contraction.ROWS && scope.layout().eachContraction();
        if (plane.format() == DType.FP32 && !turned && transform instanceof Transform.Identity) {
            return ShapeTensor.of(x).share();
        }
        long rows = x.shape().rows();
        long cols = x.shape().cols();
        Shape shape = turned ? Shape.of(cols, rows) : Shape.of(rows, cols);
        return scope.allocateCodes(label + " codes", plane.format(), shape);
    }

    private static ShapeOperand operand(
            ShapeScope scope, String label, OperandSpec spec, Map<PlaneSpec, ShapeTensor> codes, Shape x) {
        boolean columns = spec.contraction() == Contraction.COLUMNS;
        long rows = columns ? x.rows() : x.cols();
        long k = columns ? x.cols() : x.rows();
        List<ShapeTensor> parts = new ArrayList<>();
        for (PlaneSpec plane : spec.planes()) {
            parts.add(codes.get(plane).share());
            Shape groups =
                    Shape.of(plane.granularity().kGroups(k), plane.granularity().rowGroups(rows));
            if (!(plane.scaleRule() instanceof ScaleRule.Unit)) {
                parts.add(scope.allocateGroups(label + " scales", DType.FP32, groups));
            }
            if (plane.source() instanceof PlaneSource.Residual) {
                parts.add(scope.allocateGroups(label + " mask", DType.INT8, groups));
            }
        }
        return new ShapeOperand(spec, rows, k, parts);
    }

    @Override
    public Tensor dequantize(StepScope scope, Operand operand) {
        return scope.allocate("dequantized", DType.FP32, Shape.of(operand.rows(), operand.k()));
    }

    @Override
    public void search(StepScope scope, HadamardSearch search, Tensor x, Tensor w, DeviceState state) {}

    @Override
    public void straightThrough(StepScope scope, StraightThrough clip, Tensor gradient, Tensor x, DeviceState state) {}

    @Override
    public Tensor transform(StepScope scope, Transform transform, Site site, Tensor x, DeviceState state) {
        return scope.allocate("transformed", DType.FP32, x.shape());
    }

    @Override
    public void run(StepScope scope, StateProgram program, DeviceState state, Map<StateInput, Tensor> inputs) {}
}
