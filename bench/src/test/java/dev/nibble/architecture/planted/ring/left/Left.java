package dev.nibble.architecture.planted.ring.left;

import dev.nibble.architecture.planted.ring.right.Right;

/** One half of a planted package cycle. */
public final class Left {
    private final Right other;

    Left(Right other) {
        this.other = other;
    }

    /** {@return the other half} */
    public Right other() {
        return other;
    }
}
