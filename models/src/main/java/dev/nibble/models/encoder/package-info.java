/** A BERT-family encoder that classifies texts: its layers, its weights from files, its training. */
package dev.nibble.models.encoder;
