/** Labelled texts and tagged words: files of them, tokenizers, batches, scores of entities. */
package dev.nibble.models.text;
