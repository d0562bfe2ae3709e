/** Checkpoints on disk: folders that are whole or absent, what is in them, and plain models made from them. */
package dev.nibble.models.checkpoint;
