/** Runs plans on a backend: one operation at a time, or a network of two layers that trains. */
package dev.nibble.testkit.run;
