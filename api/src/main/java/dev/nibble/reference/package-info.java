/**
 * The plain Java backend: one loop for each definition, no vectors, no threads. Its results are the specification that
 * faster backends are compared with.
 */
package dev.nibble.reference;
