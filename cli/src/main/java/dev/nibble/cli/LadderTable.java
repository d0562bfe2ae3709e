package dev.nibble.cli;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;

/**
 * What the runs of a task say about each of its rows.
 *
 * @param task the task
 * @param rows the rows that have runs, in the task's order
 */
record LadderTable(Ladder.Task task, List<Line> rows) {
    /** How many standard deviations of the baseline a control must lose for its task to count. */
    static final double EVIDENCE = 3;

    /**
     * A row.
     *
     * @param row which
     * @param runs its runs, by seed
     * @param loss validation loss of those that were completed
     * @param gap validation loss minus the baseline's, of pairs with the same seed
     * @param accuracy in percent
     * @param lost accuracy of the baseline minus this one's, of pairs, in points
     * @param fallbackRate mean share of the blocks with a residual; NaN without fallback
     * @param deviations mean gap in standard deviations of the baseline's loss between seeds; infinite if a run was stopped
     */
    record Line(
            Ladder.Row row,
            List<LadderRun> runs,
            Interval loss,
            Interval gap,
            Interval accuracy,
            Interval lost,
            double fallbackRate,
            double deviations) {
        /** {@return how many runs were stopped, because something was not finite} */
        long stopped() {
            return runs.stream().filter(run -> !run.completed()).count();
        }

        /** {@return whether a task can tell this row from its baseline: it loses enough, or was stopped} */
        boolean fails() {
            return deviations >= EVIDENCE;
        }
    }

    /** {@return the table of a task} */
    static LadderTable of(Ladder.Task task, List<LadderRun> all) {
        List<Line> lines = new ArrayList<>();
        for (Ladder.Row row : task.rows()) {
            List<LadderRun> runs = runs(task, row, all);
            if (!runs.isEmpty()) {
                lines.add(line(task, row, runs, all));
            }
        }
        return new LadderTable(task, lines);
    }

    private static List<LadderRun> runs(Ladder.Task task, Ladder.Row row, List<LadderRun> all) {
        return all.stream()
                .filter(run -> run.task().equals(task.name()) && run.row().equals(row.label()))
                .toList();
    }

    private static Line line(Ladder.Task task, Ladder.Row row, List<LadderRun> runs, List<LadderRun> all) {
        List<LadderRun> base = task.baseline(row).map(b -> runs(task, b, all)).orElse(List.of());
        Map<Long, LadderRun> bySeed = bySeed(base);
        List<Double> gaps = new ArrayList<>();
        List<Double> lost = new ArrayList<>();
        for (LadderRun run : runs) {
            LadderRun other = bySeed.get(run.seed());
            if (run.completed() && other != null) {
                gaps.add(run.loss() - other.loss());
                lost.add(100 * (other.accuracy() - run.accuracy()));
            }
        }
        boolean whole = runs.stream().allMatch(LadderRun::completed);
        Interval gap = Interval.of(gaps);
        double deviation = Interval.of(losses(base)).deviation();
        return new Line(
                row,
                runs,
                Interval.of(losses(runs)),
                gap,
                Interval.of(
                        finite(runs.stream().map(run -> 100 * run.accuracy()).toList())),
                Interval.of(finite(lost)),
                runs.stream()
                        .mapToDouble(LadderRun::fallbackRate)
                        .filter(rate -> !Double.isNaN(rate))
                        .average()
                        .orElse(Double.NaN),
                whole ? gap.mean() / deviation : Double.POSITIVE_INFINITY);
    }

    private static Map<Long, LadderRun> bySeed(List<LadderRun> runs) {
        Map<Long, LadderRun> bySeed = new TreeMap<>();
        runs.stream().filter(LadderRun::completed).forEach(run -> bySeed.put(run.seed(), run));
        return bySeed;
    }

    private static List<Double> losses(List<LadderRun> runs) {
        return runs.stream().filter(LadderRun::completed).map(LadderRun::loss).toList();
    }

    private static List<Double> finite(List<Double> values) {
        return values.stream().filter(value -> !Double.isNaN(value)).toList();
    }

    /** {@return a row, if it has runs} */
    Optional<Line> line(String label) {
        return rows.stream().filter(line -> line.row().label().equals(label)).findFirst();
    }

    /** {@return the rows with runs that are negative controls of a row} */
    List<Line> controls(Line line) {
        return task.controls(line.row()).stream()
                .flatMap(row -> line(row.label()).stream())
                .toList();
    }

    /** {@return the controls of a method that lose enough: this task tells of the method what they lack} */
    List<Line> evidence(Line method) {
        return controls(method).stream().filter(Line::fails).toList();
    }

    /**
     * What a row recovers of another's gap.
     *
     * @param share 1 - the ratio of the mean gaps
     * @param ends its 95 % interval, if it has one
     */
    record Recovered(double share, Optional<Interval.Ends> ends) {}

    /** {@return what a row recovers, if it is to, and both have runs with the same seeds} */
    Optional<Recovered> recovered(Line line) {
        Optional<Line> other = line.row().recovers().flatMap(this::line);
        Optional<Line> base = task.baseline(line.row()).flatMap(row -> line(row.label()));
        if (other.isEmpty() || base.isEmpty()) {
            return Optional.empty();
        }
        Map<Long, LadderRun> zero = bySeed(base.orElseThrow().runs());
        Map<Long, LadderRun> plain = bySeed(other.orElseThrow().runs());
        List<Double> above = new ArrayList<>();
        List<Double> below = new ArrayList<>();
        bySeed(line.runs()).forEach((seed, run) -> {
            if (zero.containsKey(seed) && plain.containsKey(seed)) {
                above.add(run.loss() - zero.get(seed).loss());
                below.add(plain.get(seed).loss() - zero.get(seed).loss());
            }
        });
        if (above.isEmpty()) {
            return Optional.empty();
        }
        double share = 1 - Interval.of(above).mean() / Interval.of(below).mean();
        return Optional.of(new Recovered(
                share,
                Interval.ofRatio(above, below).map(ends -> new Interval.Ends(1 - ends.upper(), 1 - ends.lower()))));
    }
}
