module github.com/rebearer/rebearer/integration

go 1.25.0

require (
	github.com/go-jose/go-jose/v4 v4.1.4
	github.com/luikyv/go-oidc v0.4.0
	github.com/rebearer/rebearer v0.0.0-00010101000000-000000000000
	golang.org/x/crypto v0.28.0
)

require (
	github.com/google/go-cmp v0.6.0 // indirect
	github.com/google/uuid v1.6.0 // indirect
	golang.org/x/sync v0.22.0 // indirect
)

replace github.com/rebearer/rebearer => ../
