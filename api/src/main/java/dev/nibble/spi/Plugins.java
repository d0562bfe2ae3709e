package dev.nibble.spi;

import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.ServiceConfigurationError;
import java.util.ServiceLoader;
import java.util.TreeMap;

/**
 * The plug-ins of one kind that are on the module path or class path, by name.
 *
 * @param <P> the kind
 */
public final class Plugins<P extends Named> {
    private final String kind;
    private final Map<String, P> byName = new TreeMap<>();
    private final List<String> problems = new ArrayList<>();

    private Plugins(String kind, ServiceLoader<P> loader) {
        this.kind = kind;
        Iterator<P> providers = loader.iterator();
        while (hasNext(providers)) {
            try {
                accept(providers.next());
            } catch (ServiceConfigurationError | LinkageError e) {
                problems.add("a " + kind + " could not be loaded: " + e.getMessage());
            }
        }
    }

    /** {@return the quantizers} */
    public static Plugins<QuantizerProvider> quantizers() {
        return new Plugins<>("quantizer", ServiceLoader.load(QuantizerProvider.class));
    }

    /** {@return the backends} */
    public static Plugins<BackendProvider> backends() {
        return new Plugins<>("backend", ServiceLoader.load(BackendProvider.class));
    }

    private boolean hasNext(Iterator<P> providers) {
        try {
            return providers.hasNext();
        } catch (ServiceConfigurationError e) {
            problems.add("a " + kind + " could not be found: " + e.getMessage());
            return false;
        }
    }

    private void accept(P provider) {
        Module origin = provider.getClass().getModule();
        String module = origin.isNamed() ? origin.getName() : "the class path";
        if (!Spi.accepts(provider.spiVersion())) {
            problems.add("%s '%s' of %s was built for SPI version %d, but %d..%d is needed"
                    .formatted(kind, provider.name(), module, provider.spiVersion(), Spi.OLDEST, Spi.VERSION));
        } else if (byName.putIfAbsent(provider.name(), provider) != null) {
            problems.add("%s '%s' of %s is left out: the name is taken".formatted(kind, provider.name(), module));
        }
    }

    /** {@return all plug-ins, sorted by name} */
    public List<P> all() {
        return List.copyOf(byName.values());
    }

    /** {@return all names, sorted} */
    public List<String> names() {
        return List.copyOf(byName.keySet());
    }

    /** {@return one line for each plug-in that was found but cannot be used} */
    public List<String> problems() {
        return List.copyOf(problems);
    }

    /**
     * {@return the plug-in with this name}
     *
     * @throws IllegalArgumentException naming the known ones and the nearest
     */
    public P get(String name) {
        P provider = byName.get(name);
        if (provider == null) {
            throw new IllegalArgumentException(
                    "no " + kind + " is named '" + name + "'; " + Names.suggest(name, byName.keySet()));
        }
        return provider;
    }

    /**
     * Opens a backend by name, or the best one that is available.
     *
     * @param name a name, or {@code auto}
     * @param options what the run asks for
     * @throws IllegalArgumentException if the name is unknown
     * @throws dev.nibble.error.NotAvailableException if the backend cannot be opened here
     */
    public static Backend openBackend(String name, BackendOptions options) {
        return BackendChoice.of(name).provider().open(options);
    }
}
