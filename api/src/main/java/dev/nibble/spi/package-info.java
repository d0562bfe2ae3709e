/** What quantizers and backends provide, and how they are found by name. */
package dev.nibble.spi;
