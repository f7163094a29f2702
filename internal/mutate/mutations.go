package main

// never stands for a condition that is taken away.
const never = "if false {"

var mutations = []mutation{
	// tokencache: what is presented, and when
	{behaviours: "B15 B27 T-C8", file: "tokencache/exchange.go", old: "case v.state.exchanged() && next.Refresh() != at.Refresh():", new: "case false:"},
	{behaviours: "B27", file: "tokencache/exchange.go", old: "if seen[next.Refresh()] || len(seen) > maxLinks {", new: "if seen[next.Refresh()] {"},
	{behaviours: "B27", file: "tokencache/exchange.go", old: "if seen[next.Refresh()] || len(seen) > maxLinks {", new: "if len(seen) > maxLinks {"},
	{behaviours: "B17", file: "tokencache/exchange.go", old: "if x.resting(ctx, k) {", new: never},
	{behaviours: "B18 B35", file: "tokencache/exchange.go", old: "rest > 0 || v.Failure.Reason.Ends()", new: "rest < 0 || v.Failure.Reason.Ends()"},
	{behaviours: "B76 T-D9", file: "tokencache/exchange.go", old: "rest > 0 || v.Failure.Reason.Ends()", new: "rest > 0"},
	{behaviours: "B22", file: "tokencache/exchange.go", old: "reentry.Mark(context.Background()), x.timeout())", new: "reentry.Mark(context.Background()), 1000*x.timeout())"},
	{behaviours: "B26", file: "tokencache/exchange.go", old: "\t\tf.Refresh = at.Refresh()\n", new: ""},
	{behaviours: "B83 T-B20", file: "tokencache/exchange.go", old: "if subjectChanged(at, got) {", new: never},
	{behaviours: "T-A5 B9", file: "tokencache/exchange.go", old: "if !visible(got.Access()) || got.part().header == nil {", new: never},
	{behaviours: "B84", file: "tokencache/coordinator.go", old: "case reentry.Marked(ctx):", new: "case reentry.Marked(ctx) && false:"},
	{behaviours: "B84", file: "tokencache/exchange.go", old: "context.WithTimeout(reentry.Mark(context.Background())", new: "context.WithTimeout(context.Background()"},
	{behaviours: "B81", file: "tokencache/coordinator.go", old: `case spent.Refresh() == "":`, new: "case false:"},
	{behaviours: "B85", file: "tokencache/coordinator.go", old: "max(1, or(c.MaxInFlight, 64))", new: "1<<20"},
	{behaviours: "B35 B85", file: "tokencache/coordinator.go", old: "if rest <= 0 {", new: "if true {"},
	{behaviours: "B77", file: "tokencache/coordinator.go", old: "_, ok := c.doomed.Load(access)\n\treturn ok", new: "return false"},
	{behaviours: "B34", file: "tokencache/coordinator.go", old: "if out.err != nil && out.token.replaces(spent) {", new: never},
	{behaviours: "B21 T-D16", file: "tokencache/flight.go", old: "case <-ctx.Done():\n\t\tgo func() {", new: "case <-(chan int)(nil):\n\t\tgo func() {"},
	{behaviours: "B23 T-D4", file: "tokencache/flight.go", old: "if p := recover(); p != nil {", new: "if p := any(nil); p != nil {"},
	{behaviours: "B23", file: "tokencache/flight.go", old: "out <- failed(why)", new: "_ = failed(why)"},
	{behaviours: "T-D5", file: "tokencache/flight.go", old: "\tc.work.add()\n\tlanded", new: "\tlanded"},
	{behaviours: "B78", file: "tokencache/cache.go", old: "c.renewAhead(now, t)", new: "return c.Refresh(ctx, t)"},
	{behaviours: "B78", file: "tokencache/cache.go", old: "case now.Add(c.coordinator.window(t)).After(t.s.expiry):", new: "case false:"},
	{behaviours: "B15", file: "tokencache/cache.go", old: `if !now.Same(spent) && now.Access() != "" &&`, new: "if false &&"},
	{behaviours: "B55", file: "tokencache/cache.go", old: "(Token{now}).Same(spent) {", new: "now != nil {"},

	// tokencache: what ends a session
	{behaviours: "B33 T-D8", file: "tokencache/fail.go", old: "if l.succeeded(r) || r.state == over {", new: "if l.succeeded(r) && false {"},
	{behaviours: "B36", file: "tokencache/fail.go", old: "} else if l.risky() {", new: "} else if false {"},
	{behaviours: "B36 B47", file: "tokencache/fail.go", old: "Unanswered: unanswered || l.risky(),", new: "Unanswered: (unanswered || l.risky()) && false,"},
	{behaviours: "B35", file: "tokencache/fail.go", old: "\t\tl.pause(e.RetryAfter)\n", new: ""},
	{behaviours: "B47", file: "tokencache/fail.go", old: "deadline := began.Add(l.rival())", new: "deadline := began"},
	{behaviours: "B30 B31 T-D6", file: "tokencache/lead.go", old: "return r.state == over || l.succeeded(r)\n", new: "return l.succeeded(r)\n"},
	{behaviours: "B31", file: "tokencache/lead.go", old: "\t\tl.discard(got)\n", new: ""},
	{behaviours: "B31", file: "tokencache/revoke.go", old: "\t\tt = next\n", new: "\t\tbreak\n"},
	{behaviours: "B31 T-E14", file: "tokencache/exchange.go", old: "case v.state == over:", new: "case false:"},

	// tokencache: many replicas
	{behaviours: "B46", file: "tokencache/lead.go", old: "if !l.shared {\n\t\treturn func() {}", new: "if true {\n\t\treturn func() {}"},
	{behaviours: "B47", file: "tokencache/exchange.go", old: "case now.Version == e.Version && x.shared:", new: "case false:"},
	{behaviours: "B48 T-D12", file: "tokencache/exchange.go", old: "if v, ok := x.kept(ctx, k, at); ok {", new: "if v, ok := x.kept(ctx, k, at); ok && false {"},
	{behaviours: "B51", file: "tokencache/record.go", old: "e.Value[0] != format {\n\t\treturn record{}, errFormat", new: "e.Value[0] != format {\n\t\treturn record{}, nil"},
	{behaviours: "B49 T-I5", file: "tokencache/record.go", old: `id: hex.EncodeToString(expand("id"))`, new: `id: refresh + hex.EncodeToString(expand("id"))`},
	{behaviours: "B28", file: "tokencache/memory.go", old: "case held, over:\n\t\treturn fixed", new: "case held, over:\n\t\treturn cheap"},
	{behaviours: "B28", file: "tokencache/memory.go", old: "case done:\n\t\treturn parked", new: "case done:\n\t\treturn cheap"},
	{behaviours: "B29", file: "tokencache/memory.go", old: "if w.waiters--; w.waiters == 0 && m.waiters[key] == w {", new: "if false {"},

	// tokencache: what is printed
	{behaviours: "B75 T-I1", file: "tokencache/token.go", old: "func (t Token) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }", new: "func (t Token) Format(f fmt.State, _ rune) { io.WriteString(f, t.Access()) }"},
	{behaviours: "B75 T-I2", file: "tokencache/errors.go", old: "\t\t\treturn errWithheld\n", new: ""},
	{behaviours: "B75", file: "tokencache/flight.go", old: `fmt.Errorf("panic with a %T", p)`, new: `fmt.Errorf("panic with %v", p)`},
}
