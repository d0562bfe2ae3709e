package dev.nibble.models;

import dev.nibble.error.NibbleException;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.Supplier;

/**
 * Gathers what is wrong, so that all of it can be told at once. What the machine lacks, a backend or data, is told when
 * nothing else is wrong.
 */
final class Problems {
    private final Set<String> messages = new LinkedHashSet<>();
    private final List<NibbleException> lacks = new ArrayList<>();

    void add(String message) {
        messages.add(message);
    }

    <T> Optional<T> collect(Supplier<T> source) {
        try {
            return Optional.of(source.get());
        } catch (ConfigurationException e) {
            messages.addAll(e.problems());
        } catch (IllegalArgumentException e) {
            messages.add(e.getMessage());
        } catch (NibbleException e) {
            lacks.add(e);
        }
        return Optional.empty();
    }

    void check(Runnable check) {
        collect(() -> {
            check.run();
            return true;
        });
    }

    /** {@return what is wrong until now} */
    List<String> messages() {
        return List.copyOf(messages);
    }

    /**
     * Does nothing if all is well.
     *
     * @throws ConfigurationException naming all that is wrong
     * @throws NibbleException if something is lacking
     */
    void throwIfAny() {
        ConfigurationException.throwIfAny(messages);
        if (!lacks.isEmpty()) {
            throw lacks.getFirst();
        }
    }
}
