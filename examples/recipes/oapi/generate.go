// Package oapi is what oapi-codegen has made of openapi.yaml.
package oapi

//go:generate go run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2 -generate types,client -package oapi -o items.gen.go ../openapi.yaml
