package control

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestRequestsGoPlainForAnHourWhereCompressedOnesAreRefused(t *testing.T) {
	var encodings []string
	refused := 0
	inVirtualTime(t, nil, func(w http.ResponseWriter, r *http.Request) {
		body, encoding := plain(t, r), r.Header.Get("Content-Encoding")
		encodings = append(encodings, encoding)
		if !strings.Contains(string(body), "job-") {
			t.Errorf("the body is %.40q", body)
		}
		if encoding == "gzip" && refused > 0 {
			refused--
			w.WriteHeader(http.StatusUnsupportedMediaType)
			return
		}
		answer(w, `,"items":[]`)
	}, func(t *testing.T, l *Link) {
		large := ReportRequest{SessionId: strings.Repeat("job-", 500)}
		small := ReportRequest{SessionId: "job-"}
		say := func(r ReportRequest) { _, _ = l.Report(t.Context(), r) }
		say(small) // not worth it
		refused = 1
		say(large) // refused
		say(large) // taken: it was no firewall
		refused = 2
		say(large) // refused
		say(large) // refused again
		say(large) // plain
		time.Sleep(59 * time.Minute)
		say(large) // plain
		time.Sleep(2 * time.Minute)
		say(large) // compressed
	})
	if got, want := strings.Join(encodings, " "), " gzip gzip gzip gzip   gzip"; got != want {
		t.Errorf("encodings were %q, want %q", got, want)
	}
}

func TestRefusalsOfOursDoNotSpeakAgainstCompression(t *testing.T) {
	inVirtualTime(t, nil, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Content-Encoding") != "gzip" {
			t.Error("the request is not compressed")
		}
		refuse(w, 400, "invalid_request")
	}, func(t *testing.T, l *Link) {
		for range 5 {
			_, err := l.Report(t.Context(), ReportRequest{SessionId: strings.Repeat("x", 2000)})
			if !IsRefusal(err, "invalid_request") {
				t.Errorf("error is %v", err)
			}
		}
	})
}
