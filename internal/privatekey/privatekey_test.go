package privatekey_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"testing"

	"github.com/rebearer/rebearer/internal/privatekey"
)

func TestWhatIsWrittenIsReadAgain(t *testing.T) {
	p256, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	for _, key := range []crypto.Signer{p256, ed} {
		got := privatekey.Parse(privatekey.Marshal(key))
		if got == nil || !key.(interface{ Equal(crypto.PrivateKey) bool }).Equal(got) {
			t.Errorf("%T is not the same", key)
		}
	}
}

func TestWhatIsNoKeyIsNil(t *testing.T) {
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	for _, key := range []crypto.Signer{nil, p384, (*ecdsa.PrivateKey)(nil), ed25519.PrivateKey{}, ed25519.PrivateKey(nil)} {
		if b := privatekey.Marshal(key); b != nil {
			t.Errorf("%T: %d bytes", key, len(b))
		}
	}
	zeros, ones := bytes.Repeat([]byte{0}, 32), bytes.Repeat([]byte{0xff}, 32) // no scalar of P-256
	for name, b := range map[string][]byte{
		"nothing": nil, "a letter": []byte("p"), "an unknown letter": append([]byte("x"), zeros...),
		"zero": append([]byte("p"), zeros...), "more than the order": append([]byte("p"), ones...),
		"too long": append([]byte("e"), make([]byte, 33)...), "too short": append([]byte("e"), make([]byte, 31)...),
	} {
		if privatekey.Parse(b) != nil {
			t.Errorf("%s is a key", name)
		}
	}
}
