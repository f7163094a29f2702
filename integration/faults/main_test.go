//go:build unix

package faults

import (
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"testing"

	"github.com/rebearer/rebearer/internal/leak"
	"github.com/redis/go-redis/v9"
)

func TestMain(m *testing.M) {
	if os.Getenv(replicaVariable) != "" {
		if err := runReplica(); err != nil {
			fmt.Fprintln(os.Stderr, "the replica:", err)
			os.Exit(1)
		}
		return
	}
	redis.SetLogger(silent{})
	flag.Parse()
	if *logs != "" {
		var err error
		if logFile, err = os.Create(*logs); err != nil {
			log.Fatal(err)
		}
	}
	log.SetOutput(io.Discard) // of handshakes that fail on purpose
	leak.Main(m)
}
