package main

// replicaMutations are of what many replicas rest on.
var replicaMutations = []mutation{
	// tokencache: what a refresh asks the Store for
	{behaviours: "B45", file: "tokencache/seen.go", old: "return !past && !x.resting(ctx, at.For(x.spent.Resource()))", new: "return false && past"},
	{behaviours: "B53 T-D15", file: "tokencache/seen.go", old: "return !past && !x.resting(ctx, at.For(x.spent.Resource()))", new: "return past || !x.resting(ctx, at.For(x.spent.Resource()))"},
	{behaviours: "B85", file: "tokencache/seen.go", old: " || !x.vacant() {", new: " {"},
	{behaviours: "B27", file: "tokencache/seen.go", old: " || x.newest.replaces(x.spent) ||", new: " ||"},
	{behaviours: "B45", file: "tokencache/seen.go", old: "const moment = time.Second", new: "const moment = time.Nanosecond"},
	{behaviours: "B31", file: "tokencache/seen.go", old: "const moment = time.Second", new: "const moment = 2 * time.Second"},
	{behaviours: "B45", file: "tokencache/walk.go", old: "v.fresh && next.replaces(x.spent) {", new: "false {"},
	{behaviours: "B45", file: "tokencache/walk.go", old: "\t\te = *found\n", new: "\t\te, err = x.load(ctx, k.id)\n"},

	// tokencache: what the model has found
	{behaviours: "B33 B47", file: "tokencache/fail.go", old: "if !l.holds(e) && !l.stolen {", new: never},
	{behaviours: "B37", file: "tokencache/fail.go", old: "if e.Reason.Ends() && alone == event.Failed {", new: "if e.Reason.Ends() {"},
	{behaviours: "B37", file: "tokencache/fail.go", old: "} else if end := l.buried(ctx); end != nil {", new: "} else if end := l.buried(ctx); end != nil && false {"},
	{behaviours: "B36", file: "tokencache/fail.go", old: " || r.Unanswered && !mine.Unanswered)", new: ")"},
	{behaviours: "B37", file: "tokencache/fail.go", old: "(r.state == held || r.ends() ||", new: "(r.state == held ||"},
	{behaviours: "B31 T-D6", file: "tokencache/revoke.go", old: "newest.Same(t) && !known {", new: "newest.Same(t) && (!known || true) {"},
	{behaviours: "B31 T-D6", file: "tokencache/revoke.go", old: "known := was.state != absent", new: "known := was.state == held"},
	{behaviours: "B31 T-D6", file: "tokencache/publish.go", old: "\t\tif unread == nil {\n", new: "\t\tif unread == nil && !late {\n"},

	{behaviours: "B46 B48", file: "tokencache/lead.go", old: "if l.doubtful = !ok; now.Version == version {", new: "if now.Version == version {"},
	{behaviours: "B46", file: "tokencache/lead.go", old: "\t\t\t\t_, began = l.last()\n", new: ""},

	{behaviours: "B31 B55", file: "tokencache/seen.go", old: " || x.traces.has(r.Token.token()) {", new: " {"},
	{behaviours: "B46", file: "tokencache/lead.go", old: "now, renewed, err := l.attempt(ctx, version, l.holding(), l.lease()/2)", new: "now, renewed, err := l.attempt(ctx, version, l.holding(), l.lease())"},
	{behaviours: "B46", file: "tokencache/await.go", old: "\t\t\ttime.Sleep(x.retry())\n\t\t\tsince = time.Now()\n", new: "\t\t\ttime.Sleep(x.retry())\n"},
	{behaviours: "B46", file: "tokencache/await.go", old: "d := min(x.lease()/3, x.lease()-began.Sub(since))", new: "d := x.lease()-began.Sub(since)"},
	{behaviours: "B47", file: "tokencache/await.go", old: "case ended.Sub(since) >= x.lease():", new: "case false:"},
	{behaviours: "B37", file: "tokencache/await.go", old: "case err != nil && ended.Sub(blind) >= x.lease():", new: "case false:"},
	{behaviours: "B46 T-K5", file: "tokencache/lead.go", old: "leave := x.leads.enter(k.id)", new: "leave := func() {}"},
	{behaviours: "B46 T-K5", file: "tokencache/walk.go", old: "if r.state == held && x.leads.wait(k.id) {", new: never},
	{behaviours: "B33", file: "tokencache/fail.go", old: "if rest <= -l.lease() {", new: "if true {"},
	{behaviours: "B27", file: "tokencache/seen.go", old: "r.Token.Refresh == at.Refresh() && x.spent.Issued().IsZero() {", new: "r.Token.Refresh == at.Refresh() && false {"},
	{behaviours: "B48", file: "tokencache/redisstore/feed.go", old: "\tclear(f.heard)\n", new: ""},
	{behaviours: "B51", file: "tokencache/redisstore/store.go", old: "if err == nil && blob == \"\" {", new: never},
	{behaviours: "B48", file: "tokencache/redisstore/replicas.go", old: "\ttouch.Eval(ctx, pipe, []string{w.key}, w.version(), w.ttl.Milliseconds())\n", new: "\t_ = touch\n"},

	{behaviours: "B46", file: "tokencache/publish.go", old: "pause, patience := 20*time.Millisecond, l.lease()/2", new: "pause, patience := 20*time.Millisecond, l.lease()"},
	{behaviours: "B31", file: "tokencache/revoke.go", old: "if unstored && !was.outranks(kept.record) {", new: "if unstored {"},

	// redisstore
	{behaviours: "B45", file: "tokencache/redisstore/store.go", old: "if (now and string.sub(now, 1, 16) or '') ~= ARGV[1] then return now end\n", new: ""},
	{behaviours: "B45", file: "tokencache/redisstore/store.go", old: "redis.call('PUBLISH', ARGV[4], ARGV[1] .. ARGV[2])\n", new: ""},
	{behaviours: "B51", file: "tokencache/redisstore/store.go", old: "TTL: w.ttl}", new: "TTL: 0 * w.ttl}"},
	{behaviours: "B51", file: "tokencache/redisstore/store.go", old: "redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end", new: "redis.call('SET', KEYS[1], ARGV[2]) end"},
	{behaviours: "B51", file: "tokencache/redisstore/store.go", old: "return s.prefix() + key }", new: "return key }"},
	{behaviours: "B48", file: "tokencache/redisstore/store.go", old: "case <-ctx.Done():\n\t\treturn none, ctx.Err()\n", new: "case <-(chan int)(nil):\n\t\treturn none, ctx.Err()\n"},
	{behaviours: "B48", file: "tokencache/redisstore/replicas.go", old: "if err == nil && n < s.WaitReplicas {", new: never},
	{behaviours: "B46", file: "tokencache/redisstore/store.go", old: "return outcome{blob, blob == w.blob}, nil", new: "return outcome{blob, false}, nil"},
	{behaviours: "T-D13", file: "tokencache/redisstore/store.go", old: "o.ReadOnly || o.RouteByLatency || o.RouteRandomly", new: "false && o.ReadOnly"},
	{behaviours: "B45", file: "tokencache/redisstore/feed.go", old: " || time.Since(h.at) > longest {", new: " {"},
	{behaviours: "B45", file: "tokencache/redisstore/feed.go", old: "by, known, at = h.Entry, true, h.Version", new: "by, at = h.Entry, h.Version"},
	{behaviours: "B48", file: "tokencache/redisstore/feed.go", old: "\t\tcase <-timer.C:\n", new: "\t\tcase <-(chan int)(nil):\n"},
	{behaviours: "B48", file: "tokencache/redisstore/feed.go", old: "\tclose(f.again)\n", new: ""},

	// what memory holds
	{behaviours: "B28", file: "internal/memlog/room.go", old: " || q.class == Kept", new: ""},
	{behaviours: "B28", file: "internal/memlog/room.go", old: "c.first < victim.first", new: "false"},
	{behaviours: "B28", file: "internal/memlog/room.go", old: "return replaces ||", new: "return"},
	{behaviours: "B28", file: "internal/memlog/room.go", old: "\t\tcase l.expire(now):\n", new: ""},
	{behaviours: "B28", file: "internal/memlog/room.go", old: "2*c.dead >= cap(c.data), ", new: ""},
	{behaviours: "B28", file: "internal/memlog/log.go", old: "\tl.expire(now)\n", new: ""},
	{behaviours: "B28", file: "internal/memlog/expiries.go", old: "if c.until == c.due {", new: "if true {"},
	{behaviours: "B28", file: "internal/memlog/chunk.go", old: "cap(c.data) <= maxChunk && ", new: ""},
	{behaviours: "B28", file: "internal/memlog/index.go", old: "keyAt(at) == key", new: "true"},
	{behaviours: "B28", file: "internal/memlog/index.go", old: "\t\tx.resize(t, n/2)\n", new: ""},
	{behaviours: "B28", file: "tokencache/memory.go", old: "\t\tlimit = 64 << 20\n", new: "\t\tlimit = 64 << 40\n"},
	{behaviours: "B28", file: "tokencache/memory.go", old: "\t\tm.evicted++\n\t}\n\tm.wake(id)", new: "\t\tm.evicted++\n\t}"},
	{behaviours: "B28", file: "internal/memlog/room.go", old: "l.kept+upper(size) > l.limit", new: "l.kept+int64(size) > l.limit"},
	{behaviours: "B28", file: "internal/memlog/log.go", pkg: "tokencache", old: "span = span<<3 | int(ttl>>max(0, span-4))&7", new: "span <<= 3"},

	// what a Store may hold that nobody of ours wrote
	{behaviours: "B81", file: "tokencache/walk.go", old: "case v.Token != nil && v.state != over && next.Refresh() == \"\":", new: "case false:"},
	{behaviours: "B51", file: "tokencache/fail.go", old: "min(max(l.from.Timeout, 0), most.Milliseconds())", new: "max(l.from.Timeout, 0*most.Milliseconds())"},
	{behaviours: "B51", file: "tokencache/record.go", old: "if r.state == over && !r.Failure.Reason.Ends() {", new: never},
	{behaviours: "B37", file: "tokencache/payload.go", old: "if !f.Reason.Known() {", new: never},
	{behaviours: "B51", file: "tokencache/payload.go", old: "int(min(max(v, 0), math.MaxInt32))", new: "int(min(v, math.MaxInt64))"},
	{behaviours: "B31", file: "tokencache/revoke.go", old: "err != nil || born.Version != \"\" {", new: "err != nil {"},
	{behaviours: "B27", file: "tokencache/token.go", old: "t.Refresh() == spent.Refresh() && t.older(spent)", new: "t.Refresh() == spent.Refresh() && t.older(spent) && false"},
	{behaviours: "B27 B45", file: "tokencache/token.go", old: "t.Refresh() == spent.Refresh() && t.older(spent)", new: "t.older(spent)"},
	{behaviours: "B15", file: "tokencache/coordinator.go", old: "|| !out.token.stale(spent) {", new: "|| out.token.Access() != spent.Access() {"},
	{behaviours: "B27", file: "tokencache/token.go", old: "if one.IsZero() || other.IsZero() {", new: "if true {"},
}
