package doctor

import (
	"encoding/json"
	"slices"
	"strings"
)

// secrets are all that were seen. Nothing here prints one; but what a server
// answers may hold what it was asked, and so everything that is printed goes
// through here in the end.
type secrets struct{ all []string }

// shortest is the length from which on a secret is replaced. A shorter one may
// be a part of any word.
const shortest = 6

func (s *secrets) add(secret string) {
	if len(secret) < shortest || slices.Contains(s.all, secret) {
		return
	}
	s.all = append(s.all, secret)
	var b strings.Builder // as JSON has it
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if enc.Encode(secret) == nil {
		text := strings.TrimSuffix(b.String(), "\n")
		if as := text[1 : len(text)-1]; as != secret {
			s.all = append(s.all, as)
		}
	}
}

// without returns a text with a word in the place of each secret.
func (s *secrets) without(text string) string {
	long := slices.Clone(s.all)
	slices.SortFunc(long, func(a, b string) int { return len(b) - len(a) })
	for _, secret := range long {
		text = strings.ReplaceAll(text, secret, "[secret]")
	}
	return text
}
