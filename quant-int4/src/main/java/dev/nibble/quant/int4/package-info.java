/** The INT4 quantizer: learned steps, block Hadamard transforms, split and sampled gradients. */
package dev.nibble.quant.int4;
