/**
 * The conformance kit: contracts in JUnit 5 that a quantizer or a backend extends, negative controls that must fail them,
 * and data that several modules test against. Needs the API and JUnit alone.
 */
module dev.nibble.testkit {
    requires transitive dev.nibble.api;
    requires transitive org.junit.jupiter.api;

    exports dev.nibble.testkit;
    exports dev.nibble.testkit.control;
    exports dev.nibble.testkit.data;
    exports dev.nibble.testkit.run;
}
