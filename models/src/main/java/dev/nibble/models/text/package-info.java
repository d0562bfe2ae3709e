/** Labelled texts: files of them, tokenizers, batches. */
package dev.nibble.models.text;
