/** A BERT-family encoder that classifies texts, or the words of texts: its blocks, its weights from files, its training. */
package dev.nibble.models.encoder;
