// Package redisd runs real Redis and Valkey servers on loopback for tests, and
// lets them, and the way to them, fail.
package redisd
