package dev.nibble.spi;

/** The version of the plug-in contract. */
public final class Spi {
    /** Version of this build. A plug-in returns it; javac writes the number into the plug-in's class. */
    public static final int VERSION = 2;

    /** The oldest plug-in contract that this build accepts. */
    public static final int OLDEST = 2;

    private Spi() {}

    /** {@return whether a plug-in built against this version works here} */
    public static boolean accepts(int version) {
        return version >= OLDEST && version <= VERSION;
    }
}
