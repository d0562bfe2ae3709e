package dev.nibble.cli;

import dev.nibble.models.LayerSample;
import dev.nibble.spi.Backend;
import dev.nibble.spi.LinearPlan;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.PlanRequest;
import dev.nibble.spi.Quantizer;
import dev.nibble.tensor.Role;

/**
 * What quantizing does to an operand of a layer: the figures of {@code nibble inspect}.
 *
 * @param amax its largest magnitude
 * @param elements how many it has
 * @param figures the comparison
 */
record OperandDiagnosis(double amax, long elements, Inspection figures) {
    static OperandDiagnosis of(Backend backend, Quantizer quantizer, Role role, LayerSample layer, int samples) {
        LayerSample.Matrix matrix = layer.operands().get(role);
        NpyArray x = new NpyArray(matrix.shape(), matrix.values());
        LinearQuantizer linear = quantizer.linear(layer.layer());
        long tokens = layer.operands().get(Role.INPUT).shape().rows();
        LinearPlan plan = linear.plan(new PlanRequest(tokens, true));
        String name = layer.layer().site().name() + " " + role.label();
        DrawStatistics statistics = new DrawStatistics(x.values().length);
        try (OperandProbe probe = new OperandProbe(backend, linear, plan, role, name, x)) {
            OperandProbe.Draw first = probe.draw(0);
            statistics.add(first.values());
            for (int draw = 1; draw < samples; draw++) {
                statistics.add(probe.draw(draw).values());
            }
            Inspection figures =
                    Inspection.of(plan.quantize(role), x.matrix(), x.values(), probe.transformed(), first, statistics);
            double amax = 0;
            for (float value : x.values()) {
                amax = Math.max(amax, Math.abs(value));
            }
            return new OperandDiagnosis(amax, x.values().length, figures);
        }
    }
}
