package compact_test

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/rebearer/rebearer/internal/compact"
)

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

var url = base64.RawURLEncoding

// jwt has the form of one that is signed with RS256.
func jwt() string {
	return url.EncodeToString([]byte(`{"alg":"RS256","kid":"1"}`)) + "." + url.EncodeToString(random(300)) + "." + url.EncodeToString(random(256))
}

// written returns the content of a text.
func written(t testing.TB, s string) []byte {
	t.Helper()
	var b compact.Buffer
	b.Texts(1, []string{s}) // Text does not write what is empty
	var item []byte
	if err := compact.Fields(b, func(_ byte, list []byte) error {
		item = list
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if got, err := compact.Texts(item); err != nil || !slices.Equal(got, []string{s}) {
		t.Fatalf("%q comes back as %q, %v", s, got, err)
	}
	if s == "" {
		return nil
	}
	b = nil
	b.Text(1, s)
	if err := compact.Fields(b, func(n byte, content []byte) error {
		item = content
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if got, err := compact.Text(item); err != nil || got != s {
		t.Fatalf("%q comes back as %q, %v", s, got, err)
	}
	return item
}

var strange = map[string]string{
	"nothing":                          "",
	"a dot":                            ".",
	"dots at both ends":                "..a..b..",
	"one letter":                       "a",
	"one digit":                        "7",
	"an odd number of digits":          "abc",
	"capital digits":                   "ABCDEF0123456789",
	"digits and capitals":              "abcdefABCDEF",
	"bits that say nothing":            "AB.ABC.AAAB.AAAAAB",
	"a length that base64 cannot have": "AAAAA",
	"padding":                          "AAAA.AA==",
	"the other alphabet":               "ab+/ab+/ab+/",
	"a line break within":              "AAAA\nAAA\nAAAA",
	"a carriage return in a JWT":       "eyJh\r.AAAA\n.AAAA",
	"zero bytes":                       "\x00\x00.\x00",
	"not UTF-8":                        "r\xff\xfe",
	"beyond ASCII":                     "Ünïcödé.ſK",
	"a prefix":                         "ory_rt_x.AAAA",
}

func TestAnyTextComesBack(t *testing.T) {
	for name, s := range strange {
		t.Run(name, func(t *testing.T) { written(t, s) })
	}
	t.Run("64 KiB of each byte", func(t *testing.T) {
		for c := range 256 {
			written(t, strings.Repeat(string([]byte{byte(c)}), 64<<10))
		}
	})
	t.Run("each length", func(t *testing.T) {
		for n := range 100 {
			raw := random(n)
			for _, s := range []string{string(raw), hex.EncodeToString(raw), url.EncodeToString(raw), url.EncodeToString(raw) + ".", "." + hex.EncodeToString(raw)} {
				written(t, s)
				written(t, s[:len(s)/2])
			}
		}
	})
}

func TestATextTakesAsManyBytesAsItSays(t *testing.T) {
	token := jwt()
	for name, row := range map[string]struct {
		text string
		most int
	}{
		"a JWT":                                  {token, len(token)*3/4 + 10},
		"32 bytes in base64url":                  {url.EncodeToString(random(32)), 35},
		"32 bytes in hexadecimal":                {hex.EncodeToString(random(32)), 34},
		"43 letters of which the last is no end": {strings.Repeat("Q", 42) + "B", 35},
		"what is neither":                        {"1//0g+x", 8},
	} {
		if n := len(written(t, row.text)); n > row.most {
			t.Errorf("%s: %d bytes for %d letters", name, n, len(row.text))
		}
	}
}

// all reads each content as everything that it could be.
func all(t testing.TB, message []byte) error {
	return compact.Fields(message, func(_ byte, content []byte) error {
		s, err := compact.Text(content)
		if err == nil && len(s) > 2*len(content) {
			t.Errorf("%d bytes of %d", len(s), len(content))
		}
		if v, err := compact.Int(content); err == nil {
			var b compact.Buffer
			b.Int(1, v)
			if len(b) > 2+len(content) {
				t.Errorf("%x is read as %d", content, v)
			}
		}
		if list, err := compact.Texts(content); err == nil && len(list) > len(content) {
			t.Errorf("%d texts in %d bytes", len(list), len(content))
		}
		last := map[string]bool{}
		compact.Pairs(content, func(key string, message []byte) error {
			if last[key] {
				t.Errorf("%q twice", key)
			}
			last[key] = true
			return nil
		})
		return nil
	})
}

func TestFieldsComeBack(t *testing.T) {
	var b compact.Buffer
	b.Text(1, "text")
	b.Int(2, math.MinInt64)
	b.Bytes(3, []byte{0})
	b.Texts(4, []string{"", "abcd", ""})
	b.Message(200, func() {
		b.Pair("", func() { b.Int(1, -1) })
		b.Pair("a", func() {})
	})
	b.Message(255, func() {})
	got := map[byte]any{}
	err := compact.Fields(b, func(n byte, content []byte) (err error) {
		switch n {
		case 1:
			got[n], err = compact.Text(content)
		case 2:
			got[n], err = compact.Int(content)
		case 4:
			got[n], err = compact.Texts(content)
		case 200:
			pairs := map[string]string{}
			err = compact.Pairs(content, func(key string, message []byte) error {
				pairs[key] = string(message)
				return nil
			})
			got[n] = pairs
		default:
			got[n] = string(content)
		}
		return err
	})
	want := map[byte]any{
		1: "text", 2: int64(math.MinInt64), 3: "\x00", 4: []string{"", "abcd", ""},
		200: map[string]string{"": "\x01\x01\x01", "a": ""}, 255: "",
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestZerosAreNotWritten(t *testing.T) {
	var b compact.Buffer
	b.Text(1, "")
	b.Int(2, 0)
	b.Bytes(3, []byte{})
	b.Texts(4, []string{})
	if len(b) > 0 {
		t.Errorf("%x", []byte(b))
	}
}

func TestWhatNobodyWroteIsNotRead(t *testing.T) {
	huge := "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" // 2^64 - 1
	text := func(content string) error { _, err := compact.Text([]byte(content)); return err }
	message := func(m string) error { return compact.Fields([]byte(m), func(byte, []byte) error { return nil }) }
	integer := func(content string) error { _, err := compact.Int([]byte(content)); return err }
	texts := func(content string) error { _, err := compact.Texts([]byte(content)); return err }
	pairs := func(content string) error {
		return compact.Pairs([]byte(content), func(string, []byte) error { return nil })
	}
	for name, err := range map[string]error{
		"a number without a length":          message("\x01"),
		"a length without an end":            message("\x01\x80"),
		"a content that is cut off":          message("\x01\x02a"),
		"a length beyond all":                message("\x01" + huge),
		"the number zero":                    message("\x00\x00"),
		"a number twice":                     message("\x01\x00\x01\x00"),
		"numbers that descend":               message("\x02\x00\x01\x00"),
		"an integer of no bytes":             integer(""),
		"an integer that is cut off":         integer("\x80"),
		"an integer with a tail":             integer("\x01\x01"),
		"an integer of more than 64 bits":    integer(huge + "\x01"),
		"a part of a text that is cut off":   text("\x80"),
		"digits that are cut off":            text("\x0c\x12"),         // 4 of them: 2 bytes
		"letters that are cut off":           text("\x0d\x00\x00"),     // 4 of them: 3 bytes
		"letters left over that are cut off": text("\x10\x00\x00\x00"), // 5 of them: 3 bytes, and one
		"raw bytes that are cut off":         text("\x05"),
		"a text longer than there is memory": text(huge),
		"a list whose item is cut off":       texts("\x02\x00"),
		"a list of what is no text":          texts("\x01\x05"),
		"a key without a message":            pairs("\x00"),
		"a pair that is cut off":             pairs("\x00\x01"),
		"a key that is no text":              pairs("\x01\x05\x00"),
		"a key twice":                        pairs("\x00\x00\x00\x00"),
		"keys that descend":                  pairs("\x02\x05b\x00\x02\x05a\x00"),
	} {
		if err != compact.ErrInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheErrorOfAReaderEndsIt(t *testing.T) {
	calls := 0
	stop := func() error { calls++; return compact.ErrInvalid }
	if compact.Fields([]byte("\x01\x00\x02\x00"), func(byte, []byte) error { return stop() }) == nil || calls != 1 {
		t.Errorf("%d calls", calls)
	}
	if compact.Pairs([]byte("\x00\x00\x02\x05a\x00"), func(string, []byte) error { return stop() }) == nil || calls != 2 {
		t.Errorf("%d calls", calls)
	}
}

func TestReadingATextAllocatesNothingElse(t *testing.T) {
	content := written(t, jwt())
	if n := testing.AllocsPerRun(100, func() { compact.Text(content) }); n != 1 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzText(f *testing.F) {
	for _, s := range strange {
		f.Add(s)
	}
	f.Add(jwt())
	f.Add(hex.EncodeToString(random(32)))
	f.Add(strings.Repeat("abcd.", 13107))
	f.Fuzz(func(t *testing.T, s string) {
		for _, s := range []string{s, "a" + s, s + "." + s, hex.EncodeToString([]byte(s)), url.EncodeToString([]byte(s))} {
			if n := len(written(t, s)); n > len(s)+3+len(s)/20 {
				t.Errorf("%q takes %d bytes", s, n)
			}
		}
	})
}

func FuzzFields(f *testing.F) {
	var b compact.Buffer
	b.Text(1, jwt())
	b.Int(2, -5)
	b.Message(3, func() { b.Pair("a", func() { b.Text(1, "abc") }) })
	b.Texts(4, []string{"a.b", "0123"})
	f.Add([]byte(b))
	f.Add([]byte(b[:len(b)-1]))
	f.Add([]byte("\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Add([]byte("\x01\x04\x03\x04\x02\x05"))
	f.Fuzz(func(t *testing.T, message []byte) { all(t, message) })
}
