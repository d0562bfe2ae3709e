/** Contracts that need several modules at once. */
package dev.nibble.conformance;
