// Command first is the program of the README. It compiles, but the servers that
// it names do not exist: examples/bff is the one to run.
package main
