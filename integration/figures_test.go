package integration

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
)

// figures are what was measured of each server, for docs/servers.md.
type figures struct {
	mu   sync.Mutex
	rows map[string]map[string]string
}

var measured figures

var columns = []string{
	"200 calls, presentations", "401s", "6 expiries, presentations", "twice", "too old a token", "the newest then", "the one before the newest",
	"calls that failed while it was down", "presentations then", "presentations for a new key",
}

func (f *figures) note(s server, client, column string, value any) {
	if !slices.Contains(columns, column) {
		panic("no column " + column)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.rows == nil {
		f.rows = map[string]map[string]string{}
	}
	name := s.name + " | " + methods[client]
	if f.rows[name] == nil {
		f.rows[name] = map[string]string{}
	}
	f.rows[name][column] = fmt.Sprint(value)
}

// of is what there is of one server, a line for each client.
func (f *figures) of(s server) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var lines []string
	for _, client := range s.clients {
		line := methods[client]
		for _, column := range columns {
			if value := f.rows[s.name+" | "+methods[client]][column]; value != "" {
				line += "; " + column + ": " + value
			}
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// write writes a table in Markdown.
func (f *figures) write(w io.Writer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.rows) == 0 {
		return
	}
	fmt.Fprintf(w, "| server | client | %s |\n%s\n", strings.Join(columns, " | "), strings.Repeat("|---", len(columns)+2)+"|")
	var names []string
	for name := range f.rows {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(w, "| %s |", name)
		for _, column := range columns {
			fmt.Fprintf(w, " %s |", f.rows[name][column])
		}
		fmt.Fprintln(w)
	}
}
