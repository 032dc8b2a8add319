package control

import (
	"io"
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
		say := func(r ReportRequest) { _, _ = report(t, l, r) }
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
			_, err := report(t, l, ReportRequest{SessionId: strings.Repeat("x", 2000)})
			if !IsRefusal(err, "invalid_request") {
				t.Errorf("error is %v", err)
			}
		}
	})
}

func TestAPreparedReportIsSentAgainAsItIs(t *testing.T) {
	var bodies []string
	inVirtualTime(t, nil, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		bodies = append(bodies, string(body))
		answer(w, `,"items":[]`)
	}, func(t *testing.T, l *Link) {
		prepared, err := PrepareReport(ReportRequest{SessionId: strings.Repeat("x", 2000)})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if _, err := l.Report(t.Context(), prepared); err != nil {
				t.Error(err)
			}
		}
	})
	if len(bodies) != 3 || bodies[0] == "" || bodies[1] != bodies[0] || bodies[2] != bodies[0] {
		t.Errorf("%d bodies, of %d bytes", len(bodies), len(bodies[0]))
	}
}
