/** A backend that computes nothing and counts the bytes of what it would allocate: what a step needs, known before the first. */
package dev.nibble.models.memory;
