package dev.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

/** Golden values come from another program: SciPy's Student distribution, and for the ratio its root finder on the t statistic. */
class IntervalTests {
    private static final double TOLERANCE = 1e-9; // ten digits of the golden values are given

    @Test
    void meansHaveStudentsInterval() {
        Interval five = Interval.of(List.of(1.0, 2.0, 3.0, 4.0, 5.0));
        assertEquals(5, five.count());
        assertEquals(3, five.mean(), TOLERANCE);
        assertEquals(1.5811388301, five.deviation(), TOLERANCE);
        assertEquals(1.0367568385, five.lower(), TOLERANCE);
        assertEquals(4.9632431615, five.upper(), TOLERANCE);
        Interval three = Interval.of(List.of(0.5, -0.25, 0.125));
        assertEquals(-0.8065516419, three.lower(), TOLERANCE);
        assertEquals(1.0565516419, three.upper(), TOLERANCE);
    }

    @Test
    void oneNumberHasNoInterval() {
        Interval one = Interval.of(List.of(2.0));
        assertEquals(2, one.mean());
        assertTrue(Double.isNaN(one.lower()) && Double.isNaN(one.upper()) && Double.isNaN(one.deviation()));
        assertTrue(Double.isNaN(Interval.of(List.of()).mean()));
    }

    @Test
    void equalNumbersHaveAnIntervalOfNoWidth() {
        Interval equal = Interval.of(List.of(0.25, 0.25, 0.25));
        assertEquals(0.25, equal.lower());
        assertEquals(0.25, equal.upper());
    }

    @Test
    void ratiosHaveFiellersInterval() {
        Interval.Ends ends = Interval.ofRatio(
                        List.of(0.01, 0.03, -0.02, 0.04, 0.02), List.of(0.10, 0.14, 0.07, 0.15, 0.12))
                .orElseThrow();
        assertEquals(-0.1644288411, ends.lower(), TOLERANCE);
        assertEquals(0.2875391089, ends.upper(), TOLERANCE);
    }

    @Test
    void ratioToWhatIsNotToldFromZeroHasNone() {
        assertEquals(Optional.empty(), Interval.ofRatio(List.of(1.0, 2.0, 3.0), List.of(0.1, -0.1, 0.05)));
        assertEquals(Optional.empty(), Interval.ofRatio(List.of(1.0), List.of(2.0)));
    }
}
