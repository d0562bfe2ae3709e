/** Quantizer state on the device, and the small programs that advance it without a kernel or a host trip. */
package dev.nibble.state;
