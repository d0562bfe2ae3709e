/** Text as bytes, and which bytes make a batch. */
package dev.nibble.models.data;
