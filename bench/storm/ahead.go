//go:build unix

package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// ahead is what came of callers whose access token still works and is about to
// end.
type ahead struct {
	name string
	counts
	Callers, Failed int
	// Blocked are the callers that had no answer as long as the authorization
	// server had not answered either: it does so when they have one, or when they
	// have been given up.
	Blocked int
}

const (
	// left is what is left of the access token: less than the ten seconds of
	// x/oauth2, the thirty of rebearer and the five minutes of azcore.
	left = 8 * time.Second
	// enough is how long callers are waited for that wait for the exchange.
	enough = 2 * time.Second
	// azcoreRests is how long azcore makes no second attempt after its first,
	// which is that to have the token of the cookies.
	azcoreRests = 31 * time.Second
)

// measureAhead has n callers come shortly before the end of their access token.
func (s *servers) measureAhead(p plan, c contender, n int) (ahead, error) {
	st, err := s.open(n, time.Minute)
	if err != nil {
		return ahead{}, err
	}
	defer st.close()
	first, err := s.begin(rule{Refresh: p.refresh, Works: true, Hold: true})
	if err != nil {
		return ahead{}, err
	}
	now := time.Now()
	first.Issued, first.Expiry = now.Add(-time.Hour), now.Add(left)
	rest := c.name == "azcore"
	if rest {
		first.Expiry = first.Expiry.Add(azcoreRests)
	}
	makePage := c.start(st.site())
	one := makePage(first)
	crowd := &crowd{ctx: context.Background()}
	if rest {
		crowd.send(one)
		crowd.wg.Wait()
		time.Sleep(azcoreRests)
	}
	before := crowd.returned.Load()
	for range n {
		if c.tabs {
			one = makePage(first)
		}
		crowd.send(one)
	}
	r := ahead{name: c.name, Callers: n}
	returned := func() int { return int(crowd.returned.Load() - before) }
	until(enough, func() bool { return returned() == n })
	until(enough, func() bool {
		r.counts, err = s.counts()
		return err != nil || r.Presentations > 0
	})
	r.Blocked = n - returned()
	if err == nil {
		err = s.tell()
	}
	crowd.wg.Wait()
	r.Failed = int(crowd.failed.Load())
	return r, err
}

// until waits for something that may not come about.
func until(patience time.Duration, done func() bool) {
	for end := time.Now().Add(patience); !done() && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
}

// measureAheads measures those who know of the time.
func (s *servers) measureAheads(p plan) ([]ahead, error) {
	var all []ahead
	for _, c := range contenders {
		if !c.expects || !p.takesPart(c.name) {
			continue
		}
		r, err := s.measureAhead(p, c, p.waiters)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		all = append(all, r)
	}
	return all, nil
}

func aheadTable(all []ahead) string {
	b := &strings.Builder{}
	fmt.Fprintln(b, "| contender | callers | presented | blocked by it | failed |")
	fmt.Fprintln(b, "|---|---|---|---|---|")
	for _, r := range all {
		fmt.Fprintf(b, "| %s | %d | %d | %d | %d |\n", r.name, r.Callers, r.Presentations, r.Blocked, r.Failed)
	}
	return b.String()
}
