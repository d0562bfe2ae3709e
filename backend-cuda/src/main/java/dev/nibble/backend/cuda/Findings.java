package dev.nibble.backend.cuda;

/**
 * Small values that are found on the device, by their addresses.
 *
 * @param address of the first
 */
record Findings(long address) {
    /** Bytes of all of them, to be set to 0 before. */
    static final long BYTES = 64;

    /** {@return bits of the largest magnitude} */
    long amax() {
        return address;
    }

    /** {@return number of blocks that fall back} */
    long flagged() {
        return address + 4;
    }

    /** {@return threshold in force} */
    long threshold() {
        return address + 8;
    }

    /** {@return median of the amaxes} */
    long median() {
        return address + 12;
    }

    /** {@return a quantile} */
    long quantile() {
        return address + 16;
    }

    /** {@return a count that nobody reads} */
    long unread() {
        return address + 20;
    }

    /** {@return mean |x| and mean x²} */
    long moments() {
        return address + 24;
    }

    /** {@return number of elements beyond the range of the codes of one of two planes} */
    long saturated(int plane) {
        return address + 32 + (long) Long.BYTES * plane;
    }

    /** {@return numbers of warps that have begun to add the sums of rows, two} */
    long begun() {
        return address + 48;
    }

    /** {@return what comes behind} */
    long end() {
        return address + BYTES;
    }
}
