# restic-manager: everything a person or CI runs. `make help` lists it.

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
BUILD   := $(GO) build -trimpath -ldflags '$(LDFLAGS)'

# What a test, a benchmark or a proof may take in all; each has its own, shorter limits inside.
TEST_TIMEOUT  ?= 40m
PROOF_TIMEOUT ?= 4h

# Where goroutines share most; `make race RACE="./agent/... ./server/... ./restic"` looks everywhere.
# Under the detector everything takes ten times as long: -short plays fewer histories and leaves out
# what one goroutine does ten thousand times, neither of which shows another race. Tests that run on
# both databases run on PostgreSQL, which works outside of the detector; many others have SQLite alone.
# SQLite is C in the words of Go and keeps its own peace by locks: its two packages are compiled without
# the detector, which makes it many times slower and watches whoever calls them all the same.
RACE ?= ./agent ./agent/control ./agent/schedule ./server/wake ./server/job ./server/auth
UNWATCHED := -gcflags=modernc.org/sqlite/lib=-race=false -gcflags=modernc.org/libc=-race=false

export CGO_ENABLED = 0
# One way to compile for programs, lint and tests: each package is compiled once for all of them.
export GOFLAGS := $(strip $(shell $(GO) env GOFLAGS) -trimpath)

.DEFAULT_GOAL := help
.PHONY: help build programs agents run-server demo test lint generate bench proof race

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: programs agents ## Build both programs into ./bin, and the agents that the server hands out into ./bin/agents
	GOOS=windows $(BUILD) -o bin/windows/restic-manager.exe ./cmd/server

programs:
	$(BUILD) -o bin/restic-manager ./cmd/server
	$(BUILD) -o bin/restic-manager-agent ./cmd/agent

# What a server finds beside its own program: an agent for each kind of machine, and the
# digests that enrolment lines vouch for.
AGENTS := linux-amd64 linux-arm64 windows-amd64.exe

agents:
	rm -rf bin/agents
	mkdir -p bin/agents
	$(foreach a,$(AGENTS),GOOS=$(word 1,$(subst -, ,$(basename $(a)))) GOARCH=$(word 2,$(subst -, ,$(basename $(a)))) \
		$(BUILD) -o bin/agents/restic-manager-agent-$(VERSION)-$(a) ./cmd/agent &&) true
	cd bin/agents && sha256sum restic-manager-agent-* >SHA256SUMS

run-server: programs ## Run the server on loopback with its data in ./demo-data/server (ARGS="…" is passed on)
	bin/restic-manager serve --data-dir demo-data/server $(ARGS)

demo: programs ## Run server, rest-server and agent on loopback with something to back up (ARGS="-source DIR", "-help")
	@command -v apt-get >/dev/null && .ci/fetch-restic trixie .cache/restic/trixie || true
	$(GO) run ./cmd/demo $(ARGS)

test: ## Run every test that CI requires, with the real restic, databases, proxies and browser
	.ci/packages
	.ci/test -timeout $(TEST_TIMEOUT) ./...

race: ## Run the tests of the packages that share most between goroutines under the race detector (needs gcc)
	.ci/packages
	CGO_ENABLED=1 .ci/test -race $(UNWATCHED) -short -skip '/^SQLite$$' -timeout $(TEST_TIMEOUT) $(RACE)

lint: ## Check format, vet (Linux, Windows), staticcheck, generated code and module pins
	.ci/lint

generate: ## Write server/api/api.gen.go and agent/control/control.gen.go from openapi.yaml
	.ci/generate .

bench: ## Print the performance figures, each beside its baseline of the same run (ARGS="-size 2048" and others)
	.ci/packages
	.ci/test -timeout 1h -run '^$$' -bench . -benchtime 1x ./cmd/bench $(ARGS)

proof: ## Run what takes long: the model test with 10 000 seeds, more fault and crash rounds
	.ci/packages
	RM_PROOF=1 .ci/test -timeout $(PROOF_TIMEOUT) ./...
