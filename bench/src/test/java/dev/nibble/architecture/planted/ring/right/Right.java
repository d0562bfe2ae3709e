package dev.nibble.architecture.planted.ring.right;

import dev.nibble.architecture.planted.ring.left.Left;

/** One half of a planted package cycle. */
public final class Right {
    private final Left other;

    Right(Left other) {
        this.other = other;
    }

    /** {@return the other half} */
    public Left other() {
        return other;
    }
}
