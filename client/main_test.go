package client_test

import (
	"testing"

	"github.com/rebearer/rebearer/internal/leak"
)

// B29
func TestMain(m *testing.M) { leak.Main(m) }
