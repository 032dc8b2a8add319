// Package deploy holds what an installation starts from: the installer's scripts,
// the definitions of the agent's service, annotated reference configurations,
// samples for proxies and containers. It is embedded, so that the programs can hand
// out or write these files. It imports no other package of ours.
package deploy

import "embed"

// Files has the reference configurations (server.reference.yaml,
// agent.reference.yaml), the installer (install.sh, install.ps1), the service
// definitions below unit/, and the samples below proxy/.
//
//go:embed *.reference.yaml install.sh install.ps1 unit proxy
var Files embed.FS

// Unit returns the definition of the agent's service for one manager: "service"
// (systemd), "openrc", or "init" (scripts below /etc/init.d).
func Unit(manager string) string {
	text, err := Files.ReadFile("unit/restic-manager-agent." + manager)
	if err != nil {
		panic(err) // it is compiled in
	}
	return string(text)
}
