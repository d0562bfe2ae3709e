/** Immutable descriptions of quantized operands: planes, granularity, scales, rounding. */
package dev.nibble.quant;
