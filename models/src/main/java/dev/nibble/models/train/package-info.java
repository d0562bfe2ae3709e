/** What a training loop needs besides the model: schedules, weight updates, and workloads. */
package dev.nibble.models.train;
