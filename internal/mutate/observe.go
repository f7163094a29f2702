package main

// told are the tests of what is observed.
const told = "Told|Tell|Observe|WhoseContext|TheLogAgrees|InVain"

// What is told of it all, and to whom.
var observeMutations = []mutation{
	// tokencache
	{behaviours: "observe", file: "tokencache/observe.go", old: "\t\tdefer func() { recover() }()", new: "\t\tdefer func() {}()", run: told},
	{behaviours: "observe B84", file: "tokencache/observe.go", old: "c.Observe(reentry.Mark(ctx), e)", new: "_ = reentry.Mark\n\t\tc.Observe(ctx, e)", run: told},
	{behaviours: "observe", file: "tokencache/observe.go", old: "\tc.record(e, session)\n", new: "", run: told},
	{behaviours: "observe", file: "tokencache/observe.go", old: "\tc.observe(context.Background(), e)\n", new: "", run: told},
	{behaviours: "observe", file: "tokencache/observe.go", old: "\t\te.Kind = event.Ahead\n", new: "\t\t_ = event.Ahead\n", run: told},
	{behaviours: "observe", file: "tokencache/observe.go", old: "case o.err == nil && !o.led:", new: "case false:", run: told},
	{behaviours: "observe", file: "tokencache/observe.go", old: "case o.err == nil && !o.presented:", new: "case false:", run: told},
	{behaviours: "observe", file: "tokencache/observe.go", old: "\treturn event.Left, \"\"\n", new: "\treturn event.Failed, \"\"\n", run: told},
	{behaviours: "observe", file: "tokencache/observe.go", old: "\tif c.Observe != nil {\n\t\tbegan = time.Now()\n\t}\n", new: "", run: told},
	{behaviours: "observe", file: "tokencache/exchange.go", old: "\t\tout.exchange = x.told\n", new: "", run: told},
	{behaviours: "observe", file: "tokencache/cache.go", old: "\t\tc.coordinator.asked(ctx, began, how, outcome{})\n", new: "", run: told},
	{behaviours: "observe", file: "tokencache/cache.go", old: "\tdefer c.coordinator.asked(ctx, began, how, out)\n", new: "", run: told},
	{behaviours: "observe", file: "tokencache/coordinator.go", old: "\tc.asked(ctx, began, how, out)\n", new: "\t_ = began\n", run: told},
	{behaviours: "observe", file: "tokencache/fail.go", old: "\t\talone, beaten = event.Unsent, event.Unsent\n", new: "", run: told},
	{behaviours: "observe", file: "tokencache/fail.go", old: "\t\t\tl.ended(e, began)\n", new: "", run: told},
	{behaviours: "observe", file: "tokencache/fail.go", old: "\t\t\tl.presented(event.Dropped, nil, began)\n", new: "", run: told},
	{behaviours: "observe", file: "tokencache/publish.go", old: "l.presented(event.Unstored, err, began)", new: "l.presented(event.Stored, err, began)", run: told},
	{behaviours: "observe", file: "tokencache/publish.go", old: "\t\tl.presented(event.Dropped, now.Failure.err(0), began)\n", new: "", run: told},
	{behaviours: "observe", file: "tokencache/revoke.go", old: "!was.ends() { // it", new: "true { // it", run: told},
	{behaviours: "observe", file: "tokencache/log.go", old: "\t\tcase e.Reason.Ends():\n\t\t\treturn\n", new: "", run: told},

	// who else tells
	{behaviours: "observe", file: "transport/attempt.go", old: "\t\toutcome = event.Rejected\n", new: "", run: told},
	{behaviours: "observe", file: "transport/attempt.go", old: "case err != nil && req.Context().Err() != nil:", new: "case false:", run: told},
	{behaviours: "observe", file: "middleware/writer.go", old: "\t\ts.tell(event.Parked)\n", new: "", run: told},
	{behaviours: "observe", file: "middleware/writer.go", old: "\t\ts.tell(event.Delivered)\n", new: "", run: told},

	// telemetry
	{behaviours: "observe", file: "telemetry/spans.go", old: "trace.WithNewRoot(), ", new: ""},
	{behaviours: "observe", file: "telemetry/spans.go", old: "\t\te.Exchange.Note = span.SpanContext()\n", new: ""},
	{behaviours: "observe", file: "telemetry/spans.go", old: "if e.Outcome != event.Unsent {", new: "if true {"},
	{behaviours: "observe", file: "telemetry/spans.go", old: "return trace.SpanContextFromContext(ctx).IsValid()", new: "return true"},
	{behaviours: "observe", file: "telemetry/spans.go", old: "span.End(trace.WithTimestamp(e.Began.Add(e.Took)))", new: "span.End()"},
	{behaviours: "observe T-I4", file: "telemetry/spans.go", old: "span.SetStatus(codes.Error, string(e.Reason))", new: "func() {\n\t\t\tif e.Err != nil {\n\t\t\t\tspan.SetStatus(codes.Error, e.Err.Error())\n\t\t\t}\n\t\t}()"},
	{behaviours: "observe", file: "telemetry/observer.go", old: "\tif tracers == nil {\n", new: "\tif false {\n"},
}
