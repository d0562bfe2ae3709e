/**
 * The contracts that quantizers and backends keep. Extend {@link dev.nibble.testkit.QuantizerContract} or
 * {@link dev.nibble.testkit.BackendContract} in a test; see docs/conformance.md.
 */
package dev.nibble.testkit;
