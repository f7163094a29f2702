// Package ogen is what ogen has made of openapi.yaml: a client and nothing else.
package ogen

//go:generate go run github.com/ogen-go/ogen/cmd/ogen@v1.24.0 --config ogen.yaml --package ogen --target . --clean ../openapi.yaml
