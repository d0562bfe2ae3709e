package dev.nibble.spi;

/** A plug-in that is looked up by name. */
public interface Named {
    /**
     * {@return the name used in configuration and checkpoints} Kebab-case; never reused for something that computes
     * different numbers.
     */
    String name();

    /** {@return {@link Spi#VERSION}, as it was when the plug-in was compiled} */
    int spiVersion();

    /** {@return what it is, in one line} */
    String description();
}
