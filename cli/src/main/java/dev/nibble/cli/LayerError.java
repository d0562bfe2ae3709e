package dev.nibble.cli;

import dev.nibble.error.NibbleException;
import dev.nibble.error.NonFiniteException;
import dev.nibble.models.LayerSample;
import dev.nibble.models.QuantizerChoice;
import dev.nibble.models.files.AtomicFile;
import dev.nibble.models.files.IoReason;
import dev.nibble.spi.Backend;
import dev.nibble.spi.BackendOptions;
import dev.nibble.spi.OptionValues;
import dev.nibble.spi.Plugins;
import dev.nibble.spi.Quantizer;
import dev.nibble.spi.QuantizerProvider;
import dev.nibble.tensor.Role;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * What quantizing did to an operand of a layer in a step: the figures of {@code nibble diagnose}.
 *
 * @param step number of the step, from 0
 * @param layer name of the layer
 * @param role which operand
 * @param snrDb {@code 10·log10(Σx² / Σ(q-x)²)}; not finite if nothing changed, or x is zero
 * @param zeros share of the elements whose code is 0 though they are not
 * @param saturated share of the elements beyond the codes
 * @param amax largest magnitude
 */
record LayerError(int step, String layer, Role role, double snrDb, double zeros, double saturated, double amax) {
    static final String FILE = "errors.csv";

    private static final String NUMBER = "(-?\\d+(?:\\.\\d+)?(?:e[-+]?\\d+)?|)";
    private static final Pattern ROW = Pattern.compile(
            "(\\d{1,9}),([^,]+),(input|weight|gradOutput)," + String.join(",", Collections.nCopies(4, NUMBER)));

    /** {@return the errors of all operands in a step} */
    static List<LayerError> of(int step, List<LayerSample> layers) {
        List<LayerError> errors = new ArrayList<>();
        // figures are the same on every backend; the run's own is in use
        try (Backend backend = Plugins.openBackend("cpu", new BackendOptions(0, 0, false))) {
            for (LayerSample layer : layers) {
                QuantizerChoice choice = QuantizerChoice.parse(layer.quantizer());
                QuantizerProvider provider = Plugins.quantizers().get(choice.name());
                Quantizer quantizer =
                        provider.create(OptionValues.of(choice.name(), provider.options(), choice.options()));
                for (Role role : layer.operands().keySet()) {
                    try {
                        errors.add(of(step, layer, role, OperandDiagnosis.of(backend, quantizer, role, layer, 1)));
                    } catch (NonFiniteException _) {
                        // the run itself says what it does about that
                    }
                }
            }
        }
        return errors;
    }

    private static LayerError of(int step, LayerSample layer, Role role, OperandDiagnosis operand) {
        return new LayerError(
                step,
                layer.layer().site().name(),
                role,
                operand.figures().snrDb(),
                (double) operand.figures().zeros() / operand.elements(),
                (double) operand.figures().saturated() / operand.elements(),
                operand.amax());
    }

    /**
     * {@return the errors in a file that {@link #write} wrote; none if there is none}
     *
     * @throws NibbleException if it cannot be read
     */
    static List<LayerError> read(Path file) {
        List<LayerError> errors = new ArrayList<>();
        try {
            for (String line : Files.exists(file) ? Files.readAllLines(file) : List.<String>of()) {
                Matcher row = ROW.matcher(line);
                if (row.matches()) { // the header does not, nor what somebody else wrote there
                    errors.add(new LayerError(
                            Integer.parseInt(row.group(1)),
                            row.group(2),
                            role(row.group(3)),
                            number(row.group(4)),
                            number(row.group(5)),
                            number(row.group(6)),
                            number(row.group(7))));
                }
            }
        } catch (IOException e) {
            throw new NibbleException("%s cannot be read: %s".formatted(file, IoReason.of(e)), e);
        }
        return errors;
    }

    private static Role role(String label) {
        return Arrays.stream(Role.values())
                .filter(role -> role.label().equals(label))
                .findFirst()
                .orElseThrow();
    }

    private static double number(String text) {
        return text.isEmpty() ? Double.NaN : Double.parseDouble(text);
    }

    /**
     * Writes errors as a CSV file, in which a number that is not finite is empty; without errors, there is no file.
     *
     * @throws NibbleException if that fails
     */
    static void write(Path file, List<LayerError> errors) {
        if (!errors.isEmpty()) {
            AtomicFile.write(file, csv(errors));
            return;
        }
        try {
            Files.deleteIfExists(file);
        } catch (IOException e) {
            throw new NibbleException("%s cannot be deleted: %s".formatted(file, IoReason.of(e)), e);
        }
    }

    private static String csv(List<LayerError> errors) {
        StringBuilder csv = new StringBuilder("step,layer,operand,snrDb,zeros,saturated,amax\n");
        for (LayerError e : errors) {
            csv.append("%d,%s,%s,%s,%s,%s,%s%n"
                    .formatted(
                            e.step(),
                            e.layer(),
                            e.role().label(),
                            number(e.snrDb()),
                            number(e.zeros()),
                            number(e.saturated()),
                            number(e.amax())));
        }
        return csv.toString();
    }

    private static String number(double value) {
        return Double.isFinite(value) ? String.format(Locale.ROOT, "%.6g", value) : "";
    }
}
