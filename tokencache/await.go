package tokencache

import (
	"context"
	"sync"
	"time"
)

// await returns the entry once it differs from old, or as it is when its holder
// has been silent for a whole lease on our own clock: no clock is compared between
// machines. Without a shared Store the holder is a goroutine of this process,
// which always ends.
//
// Silence is what was watched, by a read in each third of a lease, since that is
// how often a holder writes. Time in which the Store could not be read, or in
// which this process stood still, is none: a holder that lives may not have been
// able to write in it, either. Nor is, for two leases, time in which the Store
// was slow: what is read is small, and what a holder has to write is not. A Store
// whose reads still fail a whole lease after the first that failed is an error.
func (x *exchange) await(ctx context.Context, id, old string) (Entry, error) {
	if !x.shared {
		return x.store.Wait(ctx, id, old)
	}
	since := time.Now()       // the holder is silent
	var blind, slow time.Time // the first read that was
	for {
		began := time.Now()
		d := min(x.lease()/3, x.lease()-began.Sub(since))
		now, err := x.wait(ctx, id, old, d)
		ended := time.Now()
		took := ended.Sub(began) - d
		if slow.IsZero() && took > x.lease()/10 {
			slow = ended
		}
		switch {
		case err != nil && blind.IsZero():
			blind, since = ended, ended
		case err != nil && ended.Sub(blind) >= x.lease():
			return Entry{}, err
		case err != nil:
			time.Sleep(x.retry())
			since = time.Now()
		case now.Version != old:
			return now, nil
		case took > x.lease()*3/5, // no read takes that long
			took > x.lease()/10 && ended.Sub(slow) < 2*x.lease():
			since = ended
		case ended.Sub(since) >= x.lease():
			return now, nil
		}
	}
}

// retry is how long after a failure of the Store the holder of an entry tries
// again, who has no more than a lease.
func (x *exchange) retry() time.Duration { return x.lease() / 30 }

// pace keeps a Store whose Wait returns early each time from being asked in a
// tight loop.
const pace = 10 * time.Millisecond

// wait returns the entry once it differs from old, or as it is after d. That read
// may take half a lease, as a write may.
func (x *exchange) wait(ctx context.Context, id, old string, d time.Duration) (Entry, error) {
	wctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	for {
		now, err := x.store.Wait(wctx, id, old)
		switch {
		case wctx.Err() != nil:
			ctx, cancel := context.WithTimeout(ctx, x.lease()/2)
			defer cancel()
			return x.load(ctx, id)
		case err != nil:
			return Entry{}, storeError(err)
		case now.Version != old:
			return now, nil
		}
		select {
		case <-time.After(pace):
		case <-wctx.Done():
		}
	}
}

// leads are the entries that goroutines of this process hold, or are about to
// take. Several do where access tokens for several resources are asked for.
// Whoever comes second waits for the first: that one has not died, however long
// the Store has taken none of its writes, and what was not stored is found here.
// Without a Store the entries tell all that.
type leads struct{ ends sync.Map }

// enter notes a holder, until leave is called. Without leave there is one.
func (l *leads) enter(id string) (leave func()) {
	end := make(chan struct{})
	if _, taken := l.ends.LoadOrStore(id, end); taken {
		return nil
	}
	return func() {
		l.ends.Delete(id)
		close(end)
	}
}

// wait returns when the holder has left, and whether there was one.
func (l *leads) wait(id string) bool {
	end, there := l.ends.Load(id)
	if there {
		<-end.(chan struct{})
	}
	return there
}
