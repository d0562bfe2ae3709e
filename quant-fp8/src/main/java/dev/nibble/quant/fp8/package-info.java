/** FP8 quantizers. */
package dev.nibble.quant.fp8;
