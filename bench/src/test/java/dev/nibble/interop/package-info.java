/** What other programs are compared with: see {@code bench/interop}. */
package dev.nibble.interop;
