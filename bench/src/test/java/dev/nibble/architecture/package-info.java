/** Rules about the whole reactor that no single module can check: who requires whom, and who may use what. */
package dev.nibble.architecture;
