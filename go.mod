module github.com/rebearer/rebearer

go 1.25.0

require (
	github.com/MicahParks/jwkset v0.11.4
	github.com/go-resty/resty/v2 v2.17.2
	github.com/golang-jwt/jwt/v5 v5.3.1
	golang.org/x/sync v0.22.0
)

require (
	golang.org/x/net v0.43.0 // indirect
	golang.org/x/time v0.12.0 // indirect
)
