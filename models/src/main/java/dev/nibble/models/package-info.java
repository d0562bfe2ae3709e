/** Training runs by name: configuration, presets, results, and their wiring. {@code Runs} is the way in. */
package dev.nibble.models;
