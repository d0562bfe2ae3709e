/** What can go wrong that is not a caller's mistake. */
package dev.nibble.error;
