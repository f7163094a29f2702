package middleware_test

import (
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// BenchmarkCheck is the check of an access token that was seen before, with that
// of golang-jwt in turns: rounds of all three, so that what else the machine does
// meets them alike, and the least of each, which is told with its ratio.
//
//	go test -run xxx -bench Check -benchtime 100x ./middleware
//
// golang-jwt is at its best: a parser made once, claims without a map, a key that
// is at hand. What a whole request costs is told by ../bench/verify.
func BenchmarkCheck(b *testing.B) {
	a, token := verifying(b)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		b.Fatal(err)
	}
	claims := jwt.MapClaims{}
	if _, _, err := jwt.NewParser().ParseUnverified(token, claims); err != nil {
		b.Fatal(err)
	}
	signed, err := jwt.NewWithClaims(jwt.SigningMethodRS256, claims).SignedString(key)
	if err != nil {
		b.Fatal(err)
	}
	contenders := []*contender{
		{name: "seen", times: 2000, check: func() error { return a.Check(token, "R", "") }},
		{name: "HS256", times: 100, check: parsing("HS256", token, secret)},
		{name: "RS256", times: 20, check: parsing("RS256", signed, &key.PublicKey)},
	}
	begin := 0
	for b.Loop() {
		for i := range contenders {
			contenders[(begin+i)%len(contenders)].turn(b)
		}
		begin++
	}
	seen := contenders[0].least
	for _, c := range contenders {
		b.ReportMetric(c.least, c.name+"-ns")
		if c.least != seen {
			b.ReportMetric(c.least/seen, c.name+"/seen")
		}
	}
	b.ReportMetric(0, "ns/op") // a round says nothing
}

type contender struct {
	name  string
	times int // in one turn
	check func() error
	least float64 // of all turns, for one check in ns
}

func (c *contender) turn(b *testing.B) {
	begin := time.Now()
	for range c.times {
		if err := c.check(); err != nil {
			b.Fatal(fmt.Errorf("%s: %w", c.name, err))
		}
	}
	if each := float64(time.Since(begin).Nanoseconds()) / float64(c.times); c.least == 0 || each < c.least {
		c.least = each
	}
}

// parsing checks a token with golang-jwt.
func parsing(alg, token string, key any) func() error {
	parser := jwt.NewParser(jwt.WithValidMethods([]string{alg}), jwt.WithExpirationRequired())
	find := func(*jwt.Token) (any, error) { return key, nil }
	return func() error {
		_, err := parser.ParseWithClaims(token, &jwt.RegisteredClaims{}, find)
		return err
	}
}
