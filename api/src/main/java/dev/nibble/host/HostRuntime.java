package dev.nibble.host;

import dev.nibble.report.ExecutionLog;
import dev.nibble.spi.NonFinite;
import dev.nibble.spi.Site;
import dev.nibble.tensor.Role;
import java.util.ArrayList;
import java.util.List;

/** What the operations of one host backend share: seed, memory, execution log, and what was not finite. */
public final class HostRuntime {
    private final long seed;
    private final HostMemory memory = new HostMemory();
    private final ExecutionLog log;
    private final List<NonFinite> nonFinite = new ArrayList<>();

    /**
     * Makes the shared part of a backend.
     *
     * @param seed seed of every random draw
     * @param strict whether a product that does not run as asked for is an error
     */
    public HostRuntime(long seed, boolean strict) {
        this.seed = seed;
        this.log = new ExecutionLog(strict);
    }

    /** {@return seed of every random draw} */
    public long seed() {
        return seed;
    }

    /** {@return the allocator} */
    public HostMemory memory() {
        return memory;
    }

    /** {@return what ran} */
    public ExecutionLog log() {
        return log;
    }

    /** Notes an operand that holds NaN or infinity. */
    public void noteNonFinite(Site site, Role role) {
        nonFinite.add(new NonFinite(site, role));
    }

    /** {@return whether an operand was not finite since {@link #takeNonFinite}} */
    public boolean hasNonFinite() {
        return !nonFinite.isEmpty();
    }

    /** {@return the operands that were not finite since the last call} */
    public List<NonFinite> takeNonFinite() {
        List<NonFinite> taken = List.copyOf(nonFinite);
        nonFinite.clear();
        return taken;
    }
}
