/** LUQ: uniform INT4 for the forward pass, powers of two, drawn without bias, for gradients. */
package dev.nibble.quant.luq;
