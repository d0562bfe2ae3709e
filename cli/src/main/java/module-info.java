/** The {@code nibble} command: trains under several quantizers and compares, inspects tensors and products. */
module dev.nibble.cli {
    requires com.fasterxml.jackson.databind;
    requires dev.nibble.api;
    requires dev.nibble.models;
    requires info.picocli;
    requires java.management; // time of a thread on a processor
    requires me.tongfei.progressbar;

    opens dev.nibble.cli to
            info.picocli;
}
