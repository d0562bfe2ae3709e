/** INT8 quantizers: per row, per block, and per block with a residual for outliers. */
package dev.nibble.quant.int8.fallback;
