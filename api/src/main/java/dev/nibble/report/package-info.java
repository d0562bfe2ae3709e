/** Proof of what ran: rows written by the code that launched a kernel, from the buffers it was given. */
package dev.nibble.report;
