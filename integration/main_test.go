package integration

import (
	"flag"
	"os"
	"testing"
)

// TestMain lets more tests run at a time than there are processors: they spend
// nearly all of it waiting for an access token to end. With -v it says in the
// end what was measured.
func TestMain(m *testing.M) {
	flag.Parse()
	asked := false
	flag.Visit(func(f *flag.Flag) { asked = asked || f.Name == "test.parallel" })
	if !asked {
		flag.Set("test.parallel", "12")
	}
	code := m.Run()
	if testing.Verbose() {
		measured.write(os.Stdout)
	}
	os.Exit(code)
}
