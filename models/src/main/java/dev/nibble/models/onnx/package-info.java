/** Reading the weights of ONNX files. */
package dev.nibble.models.onnx;
