/** The {@code nibble} command: trains under several quantizers and compares, inspects tensors and products. */
@SuppressWarnings("requires-automatic") // the tokenizers' library has no module descriptor
module dev.nibble.cli {
    requires ai.djl.tokenizers; // dev.nibble.models finds it, if it is there
    requires com.google
            .gson; // an automatic module resolves no explicit ones: those of the tokenizers' library are named here
    requires com.fasterxml.jackson.databind;
    requires dev.nibble.api;
    requires dev.nibble.models;
    requires info.picocli;
    requires java.management; // time of a thread on a processor
    requires me.tongfei.progressbar;
    requires org.apache.commons.statistics.distribution;
    requires org.slf4j; // as gson

    opens dev.nibble.cli to
            info.picocli;
}
