/** The command line: options, exit statuses, tables, JSON and the HTML report. */
package dev.nibble.cli;
