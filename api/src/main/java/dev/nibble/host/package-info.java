/**
 * Memory and bookkeeping of backends whose device is the host: tensors on Java arrays. Only such backends use it; models
 * and quantizers see {@code dev.nibble.spi} alone.
 */
package dev.nibble.host;
