package tokencache_test

import (
	"testing"

	"github.com/rebearer/rebearer/internal/leak"
)

// B29, T-D5
func TestMain(m *testing.M) { leak.Main(m) }
