package main

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"log"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rebearer/rebearer/bench/internal/measure"
)

// variable holds the order of a process that is to measure one contender.
const variable = "PARKED_ORDER"

type order struct {
	Contender                          string
	Sessions, Size, Cycles, Operations int
	Head                               []byte        // how a value begins
	Window                             time.Duration // in which is looked at what happens when all expire
}

type result struct {
	Heap, Resident int64     // bytes a session
	Collection     float64   // ms of CPU, the least of the cycles
	Lost           float64   // share of a burst of puts that is not there afterwards
	Put, Work      float64   // ms, the longest put by the clock and by the CPU time of its thread
	Expiry, Sweep  float64   // the same of a put or look while all expire
	Left           float64   // share of the heap that is left when all have expired
	Costs          []float64 // µs of CPU, by size
}

// delegate has a process of its own carry out an order.
func delegate(o order) (r result, err error) {
	text, err := json.Marshal(o)
	if err != nil {
		return r, err
	}
	self, err := os.Executable()
	if err != nil {
		return r, err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), variable+"="+string(text))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(out, &r)
}

func work(text string) {
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		log.Fatal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(o.measure()); err != nil {
		log.Fatal(err)
	}
}

func (o order) measure() (r result) {
	for _, n := range sizes(o.Sessions) {
		if n < o.Sessions {
			c := open(o.Contender, n)
			o.fill(c, n)
			r.Costs = append(r.Costs, o.cost(c, n))
			c.close()
		}
	}
	heap, resident := used()
	c := open(o.Contender, o.Sessions)
	r.Put, r.Work = o.fill(c, o.Sessions)
	c.settle()
	full, fullResident := used()
	r.Heap, r.Resident = (full-heap)/int64(o.Sessions), (fullResident-resident)/int64(o.Sessions)
	r.Collection = milli(collection(o.Cycles))
	r.Costs = append(r.Costs, o.cost(c, o.Sessions))
	c.close()
	c = nil
	r.Expiry, r.Sweep, r.Left = o.expire()
	r.Lost = o.burst()
	return r
}

// sizes are the numbers of sessions among which one comes and one goes.
func sizes(most int) (all []int) {
	for _, n := range []int{10, 1000, 100_000} {
		if n < most {
			all = append(all, n)
		}
	}
	return append(all, most)
}

// fill puts n sessions, and returns how long the slowest took: by the clock,
// which tells also of whoever else wanted the CPU, and by what its thread did.
func (o order) fill(c contender, n int) (longest, work float64) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for i := range n {
		key, value := key(i), o.value(i)
		spent, began := threadCPU(), time.Now()
		c.put(key, value, time.Hour)
		took := time.Since(began)
		longest, work = max(longest, milli(took)), max(work, milli(threadCPU()-spent))
	}
	return longest, work
}

// cost returns the CPU time of one session that comes, while the oldest of n
// goes, with all that is done for it in the background, in µs.
func (o order) cost(c contender, n int) float64 {
	runtime.GC()
	before := measure.CPU()
	for i := range o.Operations {
		c.put(key(n+i), o.value(n+i), time.Hour)
		c.drop(key(i))
	}
	c.settle()
	return float64((measure.CPU() - before).Nanoseconds()) / 1e3 / float64(o.Operations)
}

// burst has many goroutines put a tenth of the sessions as fast as they can, and
// returns what share of them is not there afterwards.
func (o order) burst() float64 {
	n := max(o.Sessions/10, 100)
	c := open(o.Contender, n)
	defer c.close()
	keys, values := make([]string, n), make([][]byte, n)
	for i := range n {
		keys[i], values[i] = key(i), o.value(i)
	}
	var next atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				c.put(keys[i-1], values[i-1], time.Hour)
			}
		})
	}
	all.Wait()
	c.settle()
	lost := 0
	for _, key := range keys {
		if !c.has(key) {
			lost++
		}
	}
	return float64(lost) / float64(n)
}

// expire lets all sessions expire at one moment. It returns how long the slowest
// put or look took from then on, while others come, as fill does, and what share
// of the heap is left when those have gone, too.
func (o order) expire() (longest, work, left float64) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	empty, _ := used()
	c := open(o.Contender, o.Sessions)
	defer c.close()
	end := time.Now().Add(time.Second + time.Duration(o.Sessions)*6*time.Microsecond)
	for i := range o.Sessions {
		c.put(key(i), o.value(i), max(time.Until(end), time.Millisecond))
	}
	c.settle()
	full, _ := used()
	time.Sleep(time.Until(end))
	come := o.Sessions/5 + 10
	for i := 0; i < come || time.Since(end) < o.Window; i++ {
		key, value := key(o.Sessions+i%come), o.value(i)
		spent, began := threadCPU(), time.Now()
		if i < come {
			c.put(key, value, time.Hour)
		} else {
			c.has(key)
		}
		took := time.Since(began)
		longest, work = max(longest, milli(took)), max(work, milli(threadCPU()-spent))
		if i%100 == 99 {
			time.Sleep(time.Millisecond)
		}
	}
	for i := range come {
		c.drop(key(o.Sessions + i))
	}
	c.settle()
	now, _ := used()
	return longest, work, max(0, float64(now-empty)/float64(max(full-empty, 1)))
}

// key makes one that looks like that of a Coordinator, 64 hexadecimal digits.
func key(i int) string {
	var b [32]byte
	for j := range 4 {
		z := (uint64(4*i+j) + 1) * 0x9e3779b97f4a7c15
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		binary.LittleEndian.PutUint64(b[8*j:], z^z>>27)
	}
	return hex.EncodeToString(b[:])
}

// value makes what a Coordinator would have made to put it: its own slice.
func (o order) value(i int) []byte {
	v := append(make([]byte, 0, o.Size), o.Head...)[:o.Size]
	binary.LittleEndian.PutUint64(v[len(v)-8:], uint64(i))
	return v
}

// collection returns the CPU time of a garbage collection.
func collection(cycles int) time.Duration {
	best := time.Duration(1 << 62)
	for range cycles {
		before := collected()
		runtime.GC()
		best = min(best, collected()-before)
	}
	return best
}

func collected() time.Duration {
	s := []metrics.Sample{{Name: "/cpu/classes/gc/total:cpu-seconds"}}
	metrics.Read(s)
	return time.Duration(s[0].Value.Float64() * 1e9)
}

// used returns the heap in use and the resident memory of this process.
func used() (heap, resident int64) {
	runtime.GC()
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse), residentMemory()
}

// residentMemory is 0 where there is no /proc.
func residentMemory() int64 {
	text, _ := os.ReadFile("/proc/self/status")
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	line, _, _ := strings.Cut(rest, " kB")
	n, _ := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
	return n << 10
}

func milli(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }
