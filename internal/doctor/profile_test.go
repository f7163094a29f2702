package doctor_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"go/format"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rebearer/rebearer/authtest"
)

// What it prints is Go, as gofmt would have it, and compiles.
func TestTheProfileCompiles(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var functions []string
	add := func(w *world, profile string) {
		body := profile + "use(endpoint, coordinator, verifier)\n"
		if strings.Contains(profile, "prover") {
			body += "use(prover)\n"
		}
		functions = append(functions, fmt.Sprintf("func _() {\n%s}\n", body))
	}
	w := newWorld(t, authtest.ASConfig{})
	w.refusals(authtest.Answer(400, nil, `{"error":"invalid_request"}`))
	_, r := examine(t, w, w.config(2))
	add(w, r.Profile)

	w = newWorld(t, authtest.ASConfig{ClientAuth: authtest.PrivateKeyJWT, ClientKey: key.Public(), Alg: "ES256"})
	c := w.config(2)
	c.Key, c.Alg, c.KeyID = key, "ES256", "1"
	_, r = examine(t, w, c)
	add(w, r.Profile)

	w = newWorld(t, authtest.ASConfig{ClientAuth: authtest.ClientSecretPost, ClientSecret: "a-secret"})
	w.Mutate(func(m map[string]any) { m["refresh_token_expires_in"], m["token_type"] = 3600, "DPoP" })
	c = w.config(1)
	c.Secret, c.DPoP, c.Insecure, c.Scope, c.Resource = "a-secret", true, true, "api", "https://api.example"
	_, r = examine(t, w, c)
	add(w, r.Profile)

	w = newWorld(t, authtest.ASConfig{})
	w.refusals(authtest.Answer(410, nil, `{"error":"gone"}`))
	c = w.cookies(2)
	c.AccessMember = "accessToken"
	_, r = examine(t, w, c)
	add(w, r.Profile)

	program := "package main\n\nimport (\n"
	for _, path := range []string{"middleware", "tokencache", "transport", "transport/clientassertion", "transport/dpop"} {
		program += fmt.Sprintf("\t%q\n", "github.com/rebearer/rebearer/"+path)
	}
	program += "\t\"crypto\"\n\t\"os\"\n\t\"time\"\n)\n\nfunc use(...any) {}\n\nfunc main() { use(crypto.SHA256, os.Args, time.Now, middleware.Next, dpop.Thumbprint, clientassertion.Signer{}) }\n\n" + strings.Join(functions, "\n")
	build(t, program)
	for _, f := range functions {
		formatted, err := format.Source([]byte(f))
		if err != nil || strings.ReplaceAll(string(formatted), "\n\t", "\n") != f {
			t.Errorf("%v: gofmt has it otherwise:\n%s", err, f)
		}
	}
}

// build builds a program that is in no folder of this module, but as if it were.
func build(t *testing.T, program string) {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	main, overlay := filepath.Join(dir, "main.go"), filepath.Join(dir, "overlay.json")
	lay, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(root, "internal", "doctor", "profiled", "main.go"): main}})
	if err == nil {
		err = os.WriteFile(main, []byte(program), 0o600)
	}
	if err == nil {
		err = os.WriteFile(overlay, lay, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "build", "-overlay", overlay, "-o", filepath.Join(dir, "program"), "./internal/doctor/profiled")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s\n%s", err, out, program)
	}
}
