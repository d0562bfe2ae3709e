/**
 * Runs on NVIDIA GPUs through the driver API. JCuda makes the calls that are rare; launches go through the foreign function
 * interface, which costs a hundredth. Kernels are compiled ahead and lie beside the classes.
 */
package dev.nibble.backend.cuda;
