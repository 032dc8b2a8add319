package restic_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"restic-manager/restic"
)

func TestASecretPrintsNowhere(t *testing.T) {
	const canary = "c4n4ry-hunter2"
	secret := restic.NewSecret(canary)
	type hidden struct{ secret restic.Secret }
	type shown struct {
		Secret  restic.Secret
		Pointer *restic.Secret
		List    []restic.Secret
		Map     map[string]restic.Secret
	}
	value := shown{secret, &secret, []restic.Secret{secret}, map[string]restic.Secret{"k": secret}}

	var said strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%p", "%T", "%10.3s"} {
		for _, v := range []any{secret, &secret, value, &value, hidden{secret}, &hidden{secret}, []any{secret}} {
			fmt.Fprintf(&said, verb+"\n", v)
		}
	}
	fmt.Fprintln(&said, fmt.Errorf("wrapped: %v", secret), fmt.Sprint(secret), secret.String())
	asJSON, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	said.Write(asJSON)
	text, err := secret.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	said.Write(text)
	var logged bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewTextHandler(&logged, nil), slog.NewJSONHandler(&logged, nil)} {
		slog.New(handler).Info("x", "secret", secret, "pointer", &secret, "value", value, "hidden", hidden{secret})
	}
	said.Write(logged.Bytes())

	for _, form := range []string{canary, "hunter2", fmt.Sprintf("%x", canary), fmt.Sprintf("%X", canary), fmt.Sprint([]byte(canary))} {
		if strings.Contains(said.String(), form) {
			t.Errorf("%q was printed", form)
		}
	}
	if secret.Reveal() != canary {
		t.Errorf("revealed %q", secret.Reveal())
	}
	if got := fmt.Sprint(secret); got != "[redacted]" {
		t.Errorf("printed as %q", got)
	}
}

func TestASecretIsReadFromJSONAndText(t *testing.T) {
	for raw, want := range map[string]string{`"x"`: "x", `""`: "", `null`: "", `"[redacted] "`: "[redacted] ", `"\u0000"`: "\x00"} {
		got := restic.NewSecret("before")
		if err := json.Unmarshal([]byte(raw), &got); err != nil || got.Reveal() != want {
			t.Errorf("%s: got %q, %v", raw, got.Reveal(), err)
		}
	}
	for _, raw := range []string{`5`, `{"a":"hunter2"}`, `["hunter2"]`, `"[redacted]"`} {
		var got restic.Secret
		if err := json.Unmarshal([]byte(raw), &got); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v", raw, err)
		}
	}
	var got restic.Secret
	if err := got.UnmarshalText([]byte("x")); err != nil || got.Reveal() != "x" {
		t.Errorf("got %q, %v", got.Reveal(), err)
	}
}

func TestSecretsAreCompared(t *testing.T) {
	a, b, zero := restic.NewSecret("a"), restic.NewSecret("a"), restic.Secret{}
	if !a.Equal(b) || a.Equal(zero) || !zero.Equal(restic.NewSecret("")) {
		t.Error("Equal is wrong")
	}
	if a.IsZero() || !zero.IsZero() || !restic.NewSecret("").IsZero() {
		t.Error("IsZero is wrong")
	}
}
