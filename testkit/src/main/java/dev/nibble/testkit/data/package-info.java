/** Matrices, special values and golden data for tests, and the comparison of bits. */
package dev.nibble.testkit.data;
