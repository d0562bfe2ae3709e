/** Offenders, one for each rule: they show that the rule can fail. */
package dev.nibble.architecture.planted;
