/** Counter-based randomness: a draw is a function of its address, never of the order of calls. */
package dev.nibble.random;
