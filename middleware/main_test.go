package middleware_test

import (
	"testing"

	"github.com/rebearer/rebearer/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }
