//go:build unix

package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/rebearer/rebearer/bench/internal/measure"
)

// measureDead has callers wait for a session whose grant is dead, as a logout
// elsewhere leaves it: they can only be told so. once is what one exchange takes.
func measureDead(log io.Writer, s *servers, p plan) (result *storms, once time.Duration, err error) {
	as := rule{Refresh: p.refresh, Dead: true}
	if once, err = s.once(p); err != nil {
		return nil, 0, err
	}
	result = &storms{plan: p, all: map[setting][]outcome{}}
	for _, shape := range []string{"at once", "known expiry"} {
		var runners []runner
		for _, c := range contenders {
			if !p.takesPart(c.name) || c.again || c.blind && shape == "at once" {
				continue
			}
			runners = append(runners, c.runner())
			if !slices.Contains(result.names, c.name) {
				result.names = append(result.names, c.name)
			}
		}
		if err := result.compete(log, s, runners, as, shape, p.waiters); err != nil {
			return nil, 0, err
		}
	}
	return result, once, nil
}

// once is the median of what an exchange takes that nobody disturbs.
func (s *servers) once(p plan) (time.Duration, error) {
	var took []time.Duration
	for range p.rounds {
		st, err := s.open(1, p.patience)
		if err != nil {
			return 0, err
		}
		first, err := s.begin(rule{Refresh: p.refresh})
		if err != nil {
			return 0, err
		}
		begin := time.Now()
		if _, err := st.site().exchange(context.Background(), first.Refresh); err != nil {
			return 0, err
		}
		took = append(took, time.Since(begin))
		st.close()
	}
	return measure.Median(took), nil
}

// learnedBy is how callers come to want a new token.
var learnedBy = map[string]string{"at once": "a 401", "known expiry": "its time"}

func deadTable(r *storms, once time.Duration) string {
	b := &strings.Builder{}
	fmt.Fprintf(b, "One exchange takes %s ms.\n\n", milliseconds(once))
	fmt.Fprintln(b, "| contender | the access token's end is known by | rounds | presented | all were told after, ms: min / median | ÷ one exchange |")
	fmt.Fprintln(b, "|---|---|---|---|---|---|")
	for _, name := range r.names {
		for _, shape := range []string{"at once", "known expiry"} {
			of := r.all[setting{shape, r.plan.waiters, name}]
			if len(of) == 0 {
				continue
			}
			walls := pick(of, outcome.wall)
			told := fmt.Sprintf("%s / %s | %.1f |", milliseconds(measure.Min(walls)), milliseconds(measure.Median(walls)),
				float64(measure.Median(walls))/float64(once))
			if last := of[len(of)-1]; last.gaveUp {
				told = fmt.Sprintf("gave up after %s, when %d of %d were told | |", r.plan.patience, last.Told, r.plan.waiters)
			}
			fmt.Fprintf(b, "| %s | %s | %d | %s | %s\n", name, learnedBy[shape], len(of),
				extent(pick(of, func(o outcome) int { return o.Presentations })), told)
		}
	}
	return b.String()
}
