/** Element types, shapes and device-independent tensor handles. */
package dev.nibble.tensor;
