/** One half of a planted package cycle. */
package dev.nibble.architecture.planted.ring.left;
