/** Files of tensors in the format safetensors: eight bytes, a JSON header, and the elements. */
package dev.nibble.models.safetensors;
