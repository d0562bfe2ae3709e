package dev.nibble.backend.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.backend.cuda.TrainingStep.Size;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class BenchmarkTableTests {
    private static final Size SIZE = new Size("tiny", 1, 64, 2, 128, 256, 2, 16);

    private static StepTimes.Result step(double millis) {
        Map<String, KernelTimes.Time> kernels =
                Map.of("gemm_sm90a.x", new KernelTimes.Time(4, 3), "norm.y", new KernelTimes.Time(2, 1));
        return new StepTimes.Result(SIZE, "int8-row", millis, 1L << 30, 5L << 28, 3L << 29, 5, kernels);
    }

    @Test
    void aFigureBelowItsFloorIsMissed() {
        BenchmarkTable table = new BenchmarkTable();
        table.product(new BenchmarkTable.Row("int8-row", "1 x 1 x 1", 2, 1, 1.39, 1.4));
        table.product(new BenchmarkTable.Row("int8-row", "2 x 2 x 2", 2, 1, 1.41, 1.4));
        table.step(step(50), 20, 30, 0.5);
        table.step(step(40), 20, 30, 0.5);
        assertEquals(
                List.of("int8-row 1 x 1 x 1 1.39, but at least 1.40", "step tiny int8-row 0.40, but at least 0.50"),
                table.missed());
    }

    @Test
    void withoutPyTorchThereAreNoRatios() {
        BenchmarkTable table = new BenchmarkTable();
        table.product(new BenchmarkTable.Row("bf16", "1 x 1 x 1", 2, 1, Double.NaN, 0.5));
        table.step(step(50), Double.NaN, Double.NaN, 0.5);
        assertEquals(List.of(), table.missed());
        assertTrue(table.markdown().contains("| bf16 | 1 x 1 x 1 | 2.0000 | 1 | - | 0.50 |"), table.markdown());
        Map<?, ?> tree = (Map<?, ?>) ((List<?>) table.tree().get("steps")).getFirst();
        assertEquals(50.0, tree.get("milliseconds"));
        assertTrue(!tree.containsKey("ratioToBf16"), tree.toString());
    }

    @Test
    void pyTorchCountsInItsFasterWay() {
        assertEquals(20, new BenchmarkTable.TorchStep("tiny", "bf16", 24, 20, "").millis());
        assertEquals(19, new BenchmarkTable.TorchStep("tiny", "bf16", 19, 20, "").millis());
        assertEquals(19, new BenchmarkTable.TorchStep("tiny", "bf16", 19, Double.NaN, "why").millis());
        assertTrue(Double.isNaN(new BenchmarkTable.TorchStep("tiny", "bf16", Double.NaN, Double.NaN, "").millis()));
    }

    @Test
    void bothOfPyTorchsTimesAreShown() {
        BenchmarkTable table = new BenchmarkTable();
        assertTrue(!table.markdown().contains("launched one by one"), table.markdown());
        table.torch(new BenchmarkTable.TorchStep("tiny", "bf16", 24, 20.04, ""));
        table.torch(new BenchmarkTable.TorchStep("tiny", "mixed", 31, Double.NaN, "out of memory"));
        String page = table.markdown();
        assertTrue(page.contains("| tiny | bf16 | 24.0 | 20.0 |"), page);
        assertTrue(page.contains("| tiny | mixed | 31.0 | none: out of memory |"), page);
        Map<?, ?> tree = (Map<?, ?>) ((List<?>) table.tree().get("pytorchSteps")).getLast();
        assertEquals(Map.of("model", "tiny", "parameters", "mixed", "millisecondsLaunched", 31.0), tree);
    }

    @Test
    void kernelsAreListedLongestFirstAndSummedByKind() {
        BenchmarkTable table = new BenchmarkTable();
        table.step(step(50), 20, 30, 0);
        String page = table.markdown();
        assertTrue(page.contains("| 1.00 | 1.25 | 1.50 |"), page);
        assertTrue(page.contains("By kind: products 3.0 ms, the rest 1.0 ms."), page);
        assertTrue(
                page.indexOf("| gemm_sm90a.x | 4 | 3.00 | 0.75 |") < page.indexOf("| norm.y | 2 | 1.00 | 0.25 |"),
                page);
    }

    @Test
    void operationsAreThoseOfWeightsAndOfHalfTheScores() {
        long weights = 3 * 64 * 64 + 64 * 64 + 2 * 128 * 64 + 64 * 128 + 64 * 256;
        assertEquals(6.0 * 32 * (weights + 64 * 16), SIZE.operations());
    }
}
