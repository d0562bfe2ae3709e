package dev.nibble.spi;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** The value of every option of a quantizer, given or by default. */
public final class OptionValues {
    private final Map<String, String> values;

    private OptionValues(Map<String, String> values) {
        this.values = values;
    }

    /**
     * Checks given values against the options and adds the defaults.
     *
     * @param owner name of the quantizer, for messages
     * @param specs its options
     * @param given name to value
     * @return a value for each option
     * @throws IllegalArgumentException naming every unknown option and unfit value
     */
    public static OptionValues of(String owner, List<OptionSpec> specs, Map<String, String> given) {
        List<String> problems = new ArrayList<>();
        Map<String, String> values = new TreeMap<>();
        for (OptionSpec spec : specs) {
            String value = given.getOrDefault(spec.name(), spec.defaultValue());
            String problem = spec.problem(value);
            if (!problem.isEmpty()) {
                problems.add(problem);
            }
            values.put(spec.name(), value);
        }
        List<String> names = specs.stream().map(OptionSpec::name).toList();
        for (String name : given.keySet()) {
            if (!names.contains(name)) {
                problems.add("'" + name + "' is not an option; " + Names.suggest(name, names));
            }
        }
        if (!problems.isEmpty()) {
            throw new IllegalArgumentException("quantizer " + owner + ": " + String.join("; ", problems));
        }
        return new OptionValues(values);
    }

    /** {@return all values by name, sorted} */
    public Map<String, String> asMap() {
        return Map.copyOf(values);
    }

    /** {@return the value as text} */
    public String text(String name) {
        String value = values.get(name);
        if (value == null) {
            throw new IllegalArgumentException("no option is named '" + name + "'; there are " + values.keySet());
        }
        return value;
    }

    /** {@return the value of a BOOLEAN option} */
    public boolean flag(String name) {
        return Boolean.parseBoolean(text(name));
    }

    /** {@return the value of an INTEGER option} */
    public int integer(String name) {
        return Integer.parseInt(text(name));
    }

    /** {@return the value of a NUMBER option} */
    public double number(String name) {
        return Double.parseDouble(text(name));
    }
}
