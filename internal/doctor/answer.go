package doctor

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Answer is what a refusal looks like.
type Answer struct {
	// Status is that of HTTP; 0: there was no answer.
	Status int `json:"status"`
	// Code is the error code. If empty, there is none, or none that looks
	// like one.
	Code string `json:"code,omitempty"`
	// Body is its form: json, other or empty.
	Body string `json:"body"`
}

// String returns the answer as transport.TokenEndpoint.Dead has it.
func (a Answer) String() string {
	switch {
	case a.Status == 0:
		return "no answer"
	case a.Code == "":
		return strconv.Itoa(a.Status)
	}
	return fmt.Sprintf("%d %s", a.Status, a.Code)
}

// blamesClient reports whether an answer is about the client and not its grant
// (RFC 6749 section 5.2).
func (a Answer) blamesClient() bool {
	return a.Code == "invalid_client" || a.Code == "unauthorized_client" || a.Status == http.StatusUnauthorized && a.Code == ""
}

// passing reports whether an answer says nothing of what was asked.
func (a Answer) passing() bool {
	switch a.Status {
	case 0, http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

func (e exchange) answer() Answer {
	a := Answer{Status: e.status, Body: "other"}
	m := e.members()
	switch {
	case m != nil:
		a.Body = "json"
	case len(bytes.TrimSpace(e.body)) == 0:
		a.Body = "empty"
	}
	for _, name := range []string{"error", "error_code"} {
		if s, ok := m[name].(string); ok && a.Code == "" {
			a.Code = plain(s)
		}
	}
	return a
}

// members are those of the JSON object that came, or nil.
func (e exchange) members() map[string]any {
	dec := json.NewDecoder(bytes.NewReader(e.body))
	dec.UseNumber()
	var m map[string]any
	if dec.Decode(&m) != nil {
		return nil
	}
	return m
}

func (e exchange) text(name string) string {
	s, _ := e.members()[name].(string)
	return s
}

// seconds reads a lifetime, be it a number or a string of one.
func (e exchange) seconds(name string) (time.Duration, bool) {
	var s string
	switch v := e.members()[name].(type) {
	case json.Number:
		s = v.String()
	case string:
		s = v
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f < 0 || f > 1e9 {
		return 0, false
	}
	return time.Duration(f * float64(time.Second)), true
}

// took is for how long the answer was waited for.
func (e exchange) took() time.Duration { return e.came.Sub(e.sent) }

// date is the server's clock less ours, by the Date of the answer, which is cut
// to seconds, against the middle of the exchange.
func (e exchange) date() (ahead time.Duration, ok bool) {
	at, err := http.ParseTime(e.header.Get("Date"))
	if err != nil {
		return 0, false
	}
	middle := e.sent.Add(e.came.Sub(e.sent) / 2)
	ahead = at.Add(time.Second / 2).Sub(middle)
	return ahead.Round(time.Second / 10), true
}

// plain returns what looks like an error code or a name, else "".
func plain(s string) string {
	if len(s) > 64 || strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.+") != "" {
		return ""
	}
	return s
}
