package main

// never stands for a condition that is taken away.
const never = "if false {"

var mutations = []mutation{
	// tokencache: what is presented, and when
	{behaviours: "B14 B15 B27 T-C8", file: "tokencache/exchange.go", old: "case v.state.exchanged() && next.Refresh() != at.Refresh():", new: "case false:"},
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
	{behaviours: "B20 B24 T-D3", file: "tokencache/flight.go", old: "return <-guard(x.run, panicked), nil", new: "select {\ncase o := <-guard(x.run, panicked):\nreturn o, nil\ncase <-ctx.Done():\nreturn outcome{err: left(ctx)}, nil\n}"},
	{behaviours: "B25 T-D10", file: "tokencache/coordinator.go", old: "id := derive(c.Realm, spent.Refresh()).id", new: "id := derive(c.Realm, \"x\").id"},
	{behaviours: "B37", file: "tokencache/errors.go", old: "if !c.Reason.Known() {", new: never},
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

	// transport: where tokens go
	{behaviours: "B1 T-J3", file: "transport/sign.go", old: "signed.Header = make(http.Header, len(req.Header)+1)", new: "signed.Header = req.Header"},
	{behaviours: "B2 T-C9", file: "transport/transport.go", old: "|| authorized(req.Header) {", new: "{"},
	{behaviours: "B3 T-A1", file: "transport/transport.go", old: "if !origins.Contains(req.URL) || strayed(req, origins) {", new: "if strayed(req, origins) {"},
	{behaviours: "B4 T-A2", file: "transport/transport.go", old: "|| strayed(req, origins) {", new: "{"},
	{behaviours: "B5 T-A3", file: "transport/transport.go", old: "&& !t.InsecureNoTLS && !origin.Loopback(req.URL) {", new: "&& false {"},
	{behaviours: "B6", file: "transport/sign.go", old: "\t\tresp.Request = req\n", new: ""},
	{behaviours: "B7", file: "transport/transport.go", old: "\t\treq.Body.Close()\n", new: ""},
	{behaviours: "B9", file: "tokencache/token.go", pkg: "transport", old: "if visible(s.access) && visible(s.typ) {", new: "if true {"},
	{behaviours: "B10", file: "transport/transport.go", old: "\t\tc.CloseIdleConnections()\n", new: "\t\t_ = c\n"},
	{behaviours: "B84 T-B14", file: "transport/transport.go", old: "if reentry.Marked(ctx) {", new: "if reentry.Marked(ctx) && false {"},
	{behaviours: "T-A6", file: "transport/sign.go", old: "values = withoutAuthorization(values)", new: "_ = withoutAuthorization"},
	{behaviours: "B3", file: "internal/origin/origin.go", old: "u.User != nil ||", new: "", pkg: "internal/origin"},

	{behaviours: "B8 T-D11", file: "tokencache/cache.go", pkg: "transport", old: "\tc, _ := ctx.Value(cacheKey{}).(*Cache)\n\treturn c\n}", new: "\tc, _ := ctx.Value(cacheKey{}).(*Cache)\n\tif c != nil {\n\t\tfirst.CompareAndSwap(nil, c)\n\t\treturn first.Load()\n\t}\n\treturn nil\n}\n\nvar first atomic.Pointer[Cache]"},

	// transport: what a 401 leads to
	{behaviours: "B11", file: "transport/transport.go", old: "return resp.StatusCode == http.StatusUnauthorized", new: "return resp.StatusCode > 400"},
	{behaviours: "B12 T-C7", file: "transport/transport.go", old: "t.send(req, next, again)", new: "t.attempt(req, cache, next)"},
	{behaviours: "B19 T-C6", file: "internal/challenge/challenge.go", old: "maxChallenges = 16", new: "maxChallenges = 1 << 20"},
	{behaviours: "B43 T-J7", file: "transport/transport.go", old: "if req.Context().Err() != nil && err != nil {", new: never},
	{behaviours: "B44 B39", file: "transport/sign.go", old: "signed.Body = body", new: "signed.Body = req.Body"},
	{behaviours: "B13 T-C2 T-C5", file: "transport/transport.go", old: ".Verdict == challenge.Refresh", new: ".Verdict >= challenge.Other"},
	{behaviours: "B16", file: "transport/transport.go", old: "|| next.Access() == token.Access() {", new: "{"},
	{behaviours: "B17", file: "transport/transport.go", old: "\t\tcache.Rejected(next)\n", new: ""},
	{behaviours: "B38", file: "transport/transport.go", old: "\t\treturn http.NoBody\n", new: "\t\treturn nil\n"},
	{behaviours: "B42", file: "transport/transport.go", old: "\tdrain(resp)\n", new: ""},
	{behaviours: "B39 T-J2", file: "transport/transport.go", old: "req.Body == http.NoBody || req.GetBody != nil {\n\t\treturn nil", new: "true {\n\t\treturn nil"},
	{behaviours: "B40", file: "internal/replay/replay.go", pkg: "transport", old: "case int64(len(b.kept)+n) > b.limit,", new: "case false,"},
	{behaviours: "B41", file: "internal/replay/replay.go", old: "whole = io.MultiReader(whole, b.src)", new: "_ = b.src"},

	// transport: the endpoints
	{behaviours: "B32 T-B11", file: "transport/grant.go", old: `[]string{"invalid_grant"}`, new: `[]string{"invalid_grant", "invalid_request"}`},
	{behaviours: "B33", file: "transport/grant.go", old: `[]string{"invalid_grant"}`, new: `[]string{}`},
	{behaviours: "B32 T-B13", file: "transport/post.go", old: "case isClientRefused(code):", new: "case false:"},
	{behaviours: "B32 B35", file: "transport/post.go", old: "case a.status == http.StatusTooManyRequests:", new: "case false:"},
	{behaviours: "B36", file: "transport/post.go", old: "GetConn: func(string) { unsent.Store(true) },", new: ""},
	{behaviours: "B36", file: "transport/post.go", old: "GotConn: func(httptrace.GotConnInfo) { unsent.Store(false) },", new: ""},
	{behaviours: "T-A4 B80", file: "transport/post.go", old: "resp, err := base.RoundTrip(req)", new: "resp, err := (&http.Client{Transport: base}).Do(req)"},
	{behaviours: "T-B8", file: "transport/post.go", old: "case len(body) > maxAnswer:\n\t\tbody = nil", new: "case len(body) > maxAnswer:\n\t\tbody, _ = append(body, []byte{}...), resp"},
	{behaviours: "B79 T-B5", file: "transport/members.go", old: "case err != nil || !(seconds > 0):", new: "case err != nil:"},
	{behaviours: "T-B3", file: "transport/members.go", old: `token == "null"`, new: "false"},
	{behaviours: "T-B7", file: "transport/grant.go", old: "ok && !isBearer(typ)", new: "ok && !isBearer(typ) && false"},
	{behaviours: "T-A7 T-B22", file: "transport/cookie.go", old: `http.Header{"Cookie": {c.Name + "=" + c.Value}}`, new: `http.Header{"Cookie": {c.Name + "=" + c.Value + "; accessToken=" + t.Access()}}`},
	{behaviours: "B75 T-I7", file: "transport/grant.go", old: "io.WriteString(f, \"TokenEndpoint(…)\")", new: "io.WriteString(f, e.ClientSecret)"},
	{behaviours: "T-K7", file: "transport/clientassertion/clientassertion.go", old: `"jti": rand.Text()`, new: `"jti": rand.Text()[:0]`},

	// client
	{behaviours: "T-J5", file: "client/client.go", old: "resty.NewWithClient(&http.Client{Transport: rt})", new: "resty.New().SetTransport(rt)"},
}
