package dev.nibble.conformance;

import dev.nibble.quant.Contraction;
import dev.nibble.quant.OperandSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.spi.DeviceState;
import dev.nibble.spi.EncodedTensor;
import dev.nibble.spi.NeuralOps.Saved;
import dev.nibble.spi.Operand;
import dev.nibble.spi.Quantized;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.ArrayList;
import java.util.Collection;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** Handles of two backends as one, and the ways between: what arguments and results of the operations are made of. */
final class Mirrored {
    private Mirrored() {}

    /** A tensor of both. */
    record OfTensor(Tensor first, Tensor second) implements Tensor {
        @Override
        public String label() {
            return first.label();
        }

        @Override
        public DType dtype() {
            return first.dtype();
        }

        @Override
        public Shape shape() {
            return first.shape();
        }

        @Override
        public Tensor share() {
            return new OfTensor(first.share(), second.share());
        }

        @Override
        public void close() {
            first.close();
            second.close();
        }
    }

    /** An operand of both. */
    record OfOperand(Operand first, Operand second) implements Operand {
        @Override
        public OperandSpec spec() {
            return first.spec();
        }

        @Override
        public long rows() {
            return first.rows();
        }

        @Override
        public long k() {
            return first.k();
        }

        @Override
        public DType storedFormat(int plane) {
            return second.storedFormat(plane);
        }

        @Override
        public Operand share() {
            return new OfOperand(first.share(), second.share());
        }

        @Override
        public void close() {
            first.close();
            second.close();
        }
    }

    /** Operands and statistics of one backend or of both, with handles of their own. */
    record OfQuantized(Map<Contraction, Operand> operands, Tensor statistics) implements Quantized {
        @Override
        public Operand operand(Contraction contraction) {
            Operand operand = operands.get(contraction);
            if (operand == null) {
                throw new IllegalArgumentException("no operand contracts " + contraction);
            }
            return operand;
        }

        @Override
        public void close() {
            operands.values().forEach(Operand::close);
            statistics.close();
        }
    }

    static OfTensor tensor(Object tensor) {
        return (OfTensor) tensor;
    }

    static OfOperand operand(Object operand) {
        return (OfOperand) operand;
    }

    static void close(AutoCloseable made) {
        try {
            made.close();
        } catch (RuntimeException e) {
            throw e;
        } catch (Exception e) {
            throw new IllegalStateException(e);
        }
    }

    /** {@return an argument as one of the backends knows it} */
    static Object side(Object value, boolean first) {
        return switch (value) {
            case OfTensor both -> first ? both.first() : both.second();
            case OfOperand both -> first ? both.first() : both.second();
            case DeviceState state -> {
                Map<String, Tensor> own = new TreeMap<>();
                state.all().forEach((name, vector) -> own.put(name, (Tensor) side(vector, first)));
                yield new DeviceState(own);
            }
            case EncodedTensor encoded ->
                new EncodedTensor(encoded.codec(), encoded.shape(), (Tensor) side(encoded.codes(), first), (Tensor)
                        side(encoded.scales(), first));
            case Saved saved -> new Saved((Tensor) side(saved.output(), first), (Tensor) side(saved.saved(), first));
            case List<?> list -> list.stream().map(each -> side(each, first)).toList();
            case Map<?, ?> map -> {
                Map<Object, Object> own = new LinkedHashMap<>();
                map.forEach((key, each) -> own.put(key, side(each, first)));
                yield own;
            }
            case null, default -> value;
        };
    }

    /** {@return a result of one backend with handles that outlive the step} */
    static Object keep(Object result, Object[] arguments) {
        return switch (result) {
            case Tensor tensor -> tensor.share();
            case Saved saved -> new Saved(saved.output().share(), saved.saved().share());
            case EncodedTensor encoded ->
                new EncodedTensor(
                        encoded.codec(),
                        encoded.shape(),
                        encoded.codes().share(),
                        encoded.scales().share());
            case Quantized quantized -> {
                Map<Contraction, Operand> operands = new EnumMap<>(Contraction.class);
                try (quantized) {
                    for (OperandSpec spec : ((QuantizeSpec) arguments[1]).operands()) {
                        operands.put(
                                spec.contraction(),
                                quantized.operand(spec.contraction()).share());
                    }
                    yield new OfQuantized(operands, quantized.statistics().share());
                }
            }
            case null, default -> result;
        };
    }

    /** {@return results of two backends as one; what it holds is added to {@code owned}} */
    static Object pair(Object first, Object second, Collection<AutoCloseable> owned) {
        return switch (first) {
            case Tensor one -> owned(new OfTensor(one, (Tensor) second), owned);
            case Saved one -> {
                Saved two = (Saved) second;
                yield new Saved(
                        owned(new OfTensor(one.output(), two.output()), owned),
                        owned(new OfTensor(one.saved(), two.saved()), owned));
            }
            case EncodedTensor one -> {
                EncodedTensor two = (EncodedTensor) second;
                yield new EncodedTensor(
                        one.codec(),
                        one.shape(),
                        owned(new OfTensor(one.codes(), two.codes()), owned),
                        owned(new OfTensor(one.scales(), two.scales()), owned));
            }
            case OfQuantized one -> {
                OfQuantized two = (OfQuantized) second;
                Map<Contraction, Operand> operands = new EnumMap<>(Contraction.class);
                one.operands()
                        .forEach((contraction, operand) ->
                                operands.put(contraction, new OfOperand(operand, two.operand(contraction))));
                yield new OfQuantized(operands, new OfTensor(one.statistics(), two.statistics()));
            }
            case null, default -> first;
        };
    }

    private static OfTensor owned(OfTensor tensor, Collection<AutoCloseable> owned) {
        owned.add(tensor);
        return tensor;
    }

    /** {@return the FP32 tensors among values, by what they are called} */
    static Map<String, OfTensor> floats(Object[] values) {
        Map<String, OfTensor> found = new LinkedHashMap<>();
        for (int i = 0; i < values.length; i++) {
            collect("argument " + i, values[i], found);
        }
        return found;
    }

    private static void collect(String name, Object value, Map<String, OfTensor> found) {
        switch (value) {
            case OfTensor tensor -> {
                if (tensor.dtype() == DType.FP32) {
                    found.put(name, tensor);
                }
            }
            case DeviceState state ->
                state.all().forEach((vector, tensor) -> collect(name + " " + vector, tensor, found));
            case EncodedTensor encoded -> collect(name + " scales", encoded.scales(), found);
            case Saved saved -> {
                collect(name + " output", saved.output(), found);
                collect(name + " saved", saved.saved(), found);
            }
            case OfQuantized quantized -> collect(name + " statistics", quantized.statistics(), found);
            case List<?> list -> {
                for (int i = 0; i < list.size(); i++) {
                    collect(name + '.' + i, list.get(i), found);
                }
            }
            case Map<?, ?> map -> map.forEach((key, each) -> collect(name + ' ' + key, each, found));
            case null, default -> {
                // nothing to compare
            }
        }
    }

    /** {@return the operands that a result holds} */
    static List<OfOperand> operands(Object result) {
        List<OfOperand> found = new ArrayList<>();
        if (result instanceof OfQuantized quantized) {
            quantized.operands().values().forEach(operand -> found.add((OfOperand) operand));
        }
        return found;
    }
}
