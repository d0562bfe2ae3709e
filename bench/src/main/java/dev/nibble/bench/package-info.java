/** JMH benchmarks. Scheme and shape are parameters, data is seeded. */
package dev.nibble.bench;
