/**
 * Negative controls: quantizers and backends with one fault each. A contract that they pass proves nothing; the kit's own
 * tests show that each fails where it must.
 */
package dev.nibble.testkit.control;
