/**
 * Layers, the training loop, configuration and presets; finds quantizers and backends by name. The only module that
 * knows Guice: an application's own module may replace any binding of {@code NibbleModule}.
 */
@SuppressWarnings({"requires-automatic", "requires-transitive-automatic"}) // Guice 7 has no module descriptor
module dev.nibble.models {
    requires transitive dev.nibble.api;
    requires transitive com.google.guice;
    requires jakarta.inject;
    requires com.fasterxml.jackson.core;
    requires com.fasterxml.jackson.dataformat.csv;
    requires static ai.djl.tokenizers;
    requires org.snakeyaml.engine.v2;

    exports dev.nibble.models;
    exports dev.nibble.models.checkpoint;
    exports dev.nibble.models.data;
    exports dev.nibble.models.encoder;
    exports dev.nibble.models.files;
    exports dev.nibble.models.layers;
    exports dev.nibble.models.onnx;
    exports dev.nibble.models.safetensors;
    exports dev.nibble.models.text;
    exports dev.nibble.models.train;

    opens dev.nibble.models to
            com.google.guice;
}
