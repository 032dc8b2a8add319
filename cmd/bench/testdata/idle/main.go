// Command idle keeps one request parked with Go's own client and does nothing else:
// the least that an agent can be.
package main

import (
	"net/http"
	"os"
)

func main() {
	response, err := http.Get(os.Args[1])
	if err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
	response.Body.Close()
}
