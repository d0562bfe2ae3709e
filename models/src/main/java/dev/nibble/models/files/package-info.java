/** Writing results: files that are whole or absent, and folders that hold nobody else's work. */
package dev.nibble.models.files;
