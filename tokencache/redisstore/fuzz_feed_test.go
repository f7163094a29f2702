package redisstore

import (
	"strings"
	"testing"
	"time"

	"github.com/rebearer/rebearer/tokencache"
)

// FuzzFeed: whoever can publish in Redis can send any messages. What waits is
// told of a version of its own, memory stays bounded, and nobody goes round in a
// ring (T-D2, T-I5).
func FuzzFeed(f *testing.F) {
	v := func(c string) string { return strings.Repeat(c, versionSize) }
	f.Add(v("a")+v("b")+"value", v("b")+v("c"), v("c")+v("a"))
	f.Add(v("a"), v("a")+v("a"), v("a")+"short")
	f.Add("", v("a")+v("b"), v("b"))
	f.Add("", "", "")
	f.Add(v("a")+"short", "", "")
	f.Fuzz(func(t *testing.T, one, two, three string) {
		feed := &feed{waiting: map[string]*watch{}, heard: map[string]heard{}, again: make(chan struct{})}
		begin := v("a")
		if len(two) >= versionSize {
			begin = two[:versionSize]
		}
		_, known, w := feed.listen(begin)
		if known {
			t.Fatal("it is known before anything was said")
		}
		for _, message := range []string{one, two, three, one} {
			feed.deliver(message)
		}
		told := false
		select {
		case <-w.replaced:
			told = true
		default:
			feed.leave(begin, w)
		}
		began := time.Now()
		by, known, again := feed.listen(begin)
		if took := time.Since(began); took > time.Second/2 {
			t.Errorf("it goes round for %v", took)
		}
		if known != told {
			t.Errorf("told %t, and asked again %t", told, known)
		}
		if told && w.by.Version != "" && len(w.by.Version) != versionSize || known && !sane(by) {
			t.Errorf("%q is replaced by %+v, and by %+v", begin, w.by, by)
		}
		if again != nil {
			feed.leave(begin, again)
		}
		if len(feed.waiting) > 0 || len(feed.heard) > remembered {
			t.Errorf("%d are waited for, %d remembered", len(feed.waiting), len(feed.heard))
		}
	})
}

func sane(e tokencache.Entry) bool {
	return e.Version == "" && e.Value == nil || len(e.Version) == versionSize
}
