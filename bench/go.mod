module github.com/rebearer/rebearer/bench

go 1.25.0

require (
	github.com/go-redsync/redsync/v4 v4.17.0
	github.com/rebearer/rebearer v0.0.0-00010101000000-000000000000
	github.com/redis/go-redis/v9 v9.22.0
	golang.org/x/sync v0.22.0
	golang.org/x/sys v0.43.0
)

require (
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	go.uber.org/atomic v1.11.0 // indirect
)

replace github.com/rebearer/rebearer => ../
