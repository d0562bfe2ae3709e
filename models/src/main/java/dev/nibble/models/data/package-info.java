/** Text as bytes, images from IDX files, and which of them make a batch. */
package dev.nibble.models.data;
