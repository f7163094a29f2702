package recipes_test

import (
	"testing"

	"github.com/rebearer/rebearer/examples/recipes"
)

func TestNetHTTP(t *testing.T) { check(t, recipes.NetHTTP) }
