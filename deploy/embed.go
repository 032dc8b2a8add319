// Package deploy holds what an installation starts from: annotated reference
// configurations and samples for proxies. It is embedded, so that the programs can
// write these files where they are installed. It imports no other package of ours.
package deploy

import "embed"

// Files has the reference configurations (server.reference.yaml,
// agent.reference.yaml) and the samples below proxy/.
//
//go:embed *.reference.yaml proxy
var Files embed.FS
