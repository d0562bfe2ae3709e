package dev.nibble.cli;

import dev.nibble.error.NibbleException;
import dev.nibble.error.NonFiniteException;
import dev.nibble.gemm.Product;
import dev.nibble.models.LayerSample;
import dev.nibble.models.files.AtomicFile;
import dev.nibble.models.files.IoReason;
import dev.nibble.spi.Backend;
import dev.nibble.spi.BackendOptions;
import dev.nibble.spi.Plugins;
import dev.nibble.spi.Quantizer;
import dev.nibble.tensor.Role;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.EnumSet;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import java.util.function.Supplier;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * What quantizing did to an operand or a product of a layer in a step: the figures of {@code nibble diagnose}, of one draw.
 *
 * @param step number of the step, from 0
 * @param layer name of the layer
 * @param part which operand (input, weight, gradOutput) or product (output, gradInput, gradWeight)
 * @param snrDb {@code 10·log10(Σx² / Σ(q-x)²)}; not finite if nothing changed, or x is zero
 * @param cosine {@code Σxq / sqrt(Σx²·Σq²)}
 * @param zeros share of the elements whose code is 0 though they are not; NaN for a product, as are the following
 * @param saturated share of the elements beyond the codes
 * @param amax largest magnitude
 * @param bias mean of q - x
 * @param standardError of the bias
 */
record LayerError(
        int step,
        String layer,
        String part,
        double snrDb,
        double cosine,
        double zeros,
        double saturated,
        double amax,
        double bias,
        double standardError) {
    static final String FILE = "errors.csv";

    private static final int PRODUCT_ROWS =
            64; // of a product, evenly spaced: all of them in FP64 would take longer than the step

    private static final String HEADER = "step,layer,part,snrDb,cosine,zeros,saturated,amax,bias,standardError";
    private static final String NUMBER = "(-?\\d+(?:\\.\\d+)?(?:e[-+]?\\d+)?|)";
    private static final String PARTS = Stream.concat(
                    Arrays.stream(Role.values()).map(Role::label),
                    Arrays.stream(Product.values()).map(Product::label))
            .collect(Collectors.joining("|"));
    private static final Pattern ROW =
            Pattern.compile("(\\d{1,9}),([^,]+),(" + PARTS + ")," + String.join(",", Collections.nCopies(7, NUMBER)));

    /** {@return the errors of all operands in a step, and of the products of those that quantizing changed} */
    static List<LayerError> of(int step, List<LayerSample> layers) {
        List<LayerError> errors = new ArrayList<>();
        // figures are the same on every backend; the run's own is in use
        try (Backend backend = Plugins.openBackend("cpu", new BackendOptions(0, 0, false))) {
            for (LayerSample layer : layers) {
                Quantizer quantizer = QuantizerName.quantizer(layer.quantizer());
                Set<Role> changed = EnumSet.noneOf(Role.class);
                for (Role role : layer.operands().keySet()) {
                    measure(() -> of(step, layer, role, OperandDiagnosis.of(backend, quantizer, role, layer, 1)))
                            .ifPresent(error -> {
                                errors.add(error);
                                if (Double.isFinite(error.snrDb())) {
                                    changed.add(role);
                                }
                            });
                }
                Stream.of(Product.values())
                        .filter(product -> changed.contains(product.roleA()) || changed.contains(product.roleB()))
                        .flatMap(product -> measure(() -> of(
                                        step,
                                        layer,
                                        product,
                                        ProductDiagnosis.of(backend, quantizer, product, layer, 1, PRODUCT_ROWS)))
                                .stream())
                        .forEach(errors::add);
            }
        }
        return errors;
    }

    /** {@return a measurement; none of what is not finite, since the run itself says what it does about that} */
    private static Optional<LayerError> measure(Supplier<LayerError> measurement) {
        try {
            return Optional.of(measurement.get());
        } catch (NonFiniteException _) {
            return Optional.empty();
        }
    }

    private static LayerError of(int step, LayerSample layer, Role role, OperandDiagnosis operand) {
        Inspection figures = operand.figures();
        return new LayerError(
                step,
                layer.layer().site().name(),
                role.label(),
                figures.snrDb(),
                figures.cosine(),
                (double) figures.zeros() / operand.elements(),
                (double) figures.saturated() / operand.elements(),
                operand.amax(),
                figures.bias(),
                figures.standardError());
    }

    private static LayerError of(int step, LayerSample layer, Product product, ProductDiagnosis figures) {
        return new LayerError(
                step,
                layer.layer().site().name(),
                product.label(),
                figures.snrDb(),
                figures.cosine(),
                Double.NaN,
                Double.NaN,
                Double.NaN,
                Double.NaN,
                Double.NaN);
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
                            row.group(3),
                            number(row.group(4)),
                            number(row.group(5)),
                            number(row.group(6)),
                            number(row.group(7)),
                            number(row.group(8)),
                            number(row.group(9)),
                            number(row.group(10))));
                }
            }
        } catch (IOException e) {
            throw new NibbleException("%s cannot be read: %s".formatted(file, IoReason.of(e)), e);
        }
        return errors;
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
        StringBuilder csv = new StringBuilder(HEADER).append('\n');
        for (LayerError e : errors) {
            csv.append(e.step()).append(',').append(e.layer()).append(',').append(e.part());
            for (double figure :
                    new double[] {e.snrDb(), e.cosine(), e.zeros(), e.saturated(), e.amax(), e.bias(), e.standardError()
                    }) {
                csv.append(',').append(number(figure));
            }
            csv.append('\n');
        }
        return csv.toString();
    }

    private static String number(double value) {
        return Double.isFinite(value) ? String.format(Locale.ROOT, "%.6g", value) : "";
    }
}
