package dev.nibble.backend.cuda;

import dev.nibble.spi.NonFinite;
import dev.nibble.spi.Site;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Role;
import dev.nibble.tensor.Shape;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Which operands held NaN or infinity, on the device, in the order they were met ({@code NonFiniteRecord} in common.cuh). A
 * place keeps its number for ever, so that a recorded step can be replayed.
 */
final class NonFiniteRecord {
    private static final int MOST = 16384; // places; as in common.cuh
    private static final int HEADER = 4; // words before the flags; as in common.cuh

    private final CudaTensor words; // [HEADER + 2 · MOST]: count, flags by number, numbers in order
    private final CudaStream stream;
    private final Staging staging;
    private final Map<NonFinite, Integer> numbers = new HashMap<>();
    private final List<NonFinite> places = new ArrayList<>();

    NonFiniteRecord(CudaMemory memory, CudaStream stream, Staging staging) {
        this.words = memory.allocateOwn("not finite", DType.INT32, Shape.of(HEADER + 2L * MOST));
        this.stream = stream;
        this.staging = staging;
        clear();
    }

    /** {@return the address of the record; its first word is the number of places noted since they were last taken} */
    long address() {
        return words.address();
    }

    /** {@return the number under which a kernel notes this place} */
    int number(Site site, Role role) {
        return numbers.computeIfAbsent(new NonFinite(site, role), place -> {
            if (places.size() == MOST) {
                throw new IllegalStateException(
                        "site " + site.name() + " is one more than the " + MOST + " places whose operands are watched");
            }
            places.add(place);
            return places.size() - 1;
        });
    }

    /** {@return the places noted since the last call; waits for the device} */
    List<NonFinite> take() {
        int[] count = new int[1];
        staging.read(address(), count, 0, 1);
        if (count[0] == 0) {
            return List.of();
        }
        int[] order = new int[count[0]];
        staging.read(address() + (HEADER + (long) MOST) * Integer.BYTES, order, 0, order.length);
        clear();
        List<NonFinite> taken = new ArrayList<>();
        for (int number : order) {
            taken.add(places.get(number));
        }
        return taken;
    }

    private void clear() {
        stream.fill(address(), (byte) 0, words.elements() * Integer.BYTES);
    }
}
