/** Immutable descriptions of matrix products: terms, segments, splits, epilogue. */
package dev.nibble.gemm;
