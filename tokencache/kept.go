package tokencache

import "context"

// kept returns the successor that the Store did not take, if there is one, and
// whether it leads on. If it does not, since it does not work either, the Store is
// to have it nevertheless: what is there is older.
func (x *exchange) kept(ctx context.Context, k keys, at Token) (kept view, there, leads bool) {
	if !x.shared {
		return view{}, false, false
	}
	e, _ := x.local.Load(ctx, k.id)
	r, err := k.open(e)
	if err != nil || !r.state.exchanged() {
		return view{}, false, false
	}
	next := r.Token.token().For(x.spent.Resource())
	return view{record: r, Entry: e}, true, next.replaces(x.spent) || next.Refresh() != at.Refresh()
}

// deliver brings the Store what it did not take, now that it may answer again.
// What counts is the end of the session, or somebody else's successor, if the
// Store has got that meanwhile.
func (x *exchange) deliver(ctx context.Context, k keys, kept view) view {
	e, err := x.load(ctx, k.id)
	if err != nil {
		return kept
	}
	r, err := k.open(e)
	if err != nil {
		return kept
	}
	if r.outranks(kept.record) {
		x.local.Swap(ctx, k.id, kept.Version, nil, 0)
		return view{record: r, Entry: e}
	}
	if _, ok, _ := x.swap(ctx, k, e.Version, kept.record); ok {
		x.local.Swap(ctx, k.id, kept.Version, nil, 0)
	}
	return kept
}

// outranks reports whether r, from the Store, counts rather than what the Store
// did not take.
func (r record) outranks(kept record) bool {
	mine, theirs := kept.Token.token(), r.Token.token()
	newer := mine.Refresh() == theirs.Refresh() && theirs.older(mine)
	return r.state == over || r.state.exchanged() && !newer
}
