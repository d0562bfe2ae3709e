package dev.nibble.spi;

import dev.nibble.error.NotAvailableException;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Collectors;

/**
 * The backend that a name stands for here, and why it is that one.
 *
 * @param provider of the backend; it is available
 * @param reason in words: that its name was given, or what became of those that {@code auto} prefers to it
 */
public record BackendChoice(BackendProvider provider, String reason) {
    /** The name that stands for the most preferred backend that is available. */
    public static final String AUTO = "auto";

    /**
     * {@return the backend with this name; for {@code auto}, the one with the highest preference that is available}
     *
     * @param name a name, or {@code auto}
     * @throws IllegalArgumentException naming the known ones and the nearest
     * @throws NotAvailableException if it is not available here, with the reason
     */
    public static BackendChoice of(String name) {
        Plugins<BackendProvider> backends = Plugins.backends();
        if (!name.equals(AUTO)) {
            return named(backends.get(name));
        }
        return best(backends.all());
    }

    private static BackendChoice named(BackendProvider provider) {
        Availability availability = provider.availability();
        if (!availability.available()) {
            throw new NotAvailableException(
                    "backend " + provider.name() + " is not available: " + availability.reason());
        }
        return new BackendChoice(provider, "asked for by name");
    }

    /** {@return the most preferred one that is available} */
    static BackendChoice best(List<BackendProvider> providers) {
        BackendProvider chosen = providers.stream()
                .filter(p -> p.availability().available())
                .max(Comparator.comparingInt(BackendProvider::preference))
                .orElseThrow(() -> new NotAvailableException("no backend is available here" + refusals(providers)));
        List<BackendProvider> preferred = providers.stream()
                .filter(p -> p.preference() > chosen.preference())
                .toList();
        return new BackendChoice(
                chosen,
                preferred.isEmpty() ? "preferred to all others" : "the best that can run" + refusals(preferred));
    }

    private static String refusals(List<BackendProvider> providers) {
        return providers.stream()
                .sorted(Comparator.comparingInt(BackendProvider::preference).reversed())
                .map(p -> "; " + p.name() + " cannot: " + p.availability().reason())
                .collect(Collectors.joining());
    }
}
