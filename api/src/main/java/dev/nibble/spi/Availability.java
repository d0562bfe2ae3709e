package dev.nibble.spi;

/**
 * Whether a backend can be opened here.
 *
 * @param available whether it can
 * @param reason why not; or, if it can, what it found
 */
public record Availability(boolean available, String reason) {
    /** {@return available, with what was found} */
    public static Availability yes(String found) {
        return new Availability(true, found);
    }

    /** {@return not available, with the reason and what to do about it} */
    public static Availability no(String reason) {
        return new Availability(false, reason);
    }
}
