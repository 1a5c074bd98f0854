# Builds, checks and tests nsenter-mcp. `make` alone lists the targets. All work
# for root and for a user; what they miss on the machine they install with
# apt-get, by sudo where need be. CI runs .ci/run, which calls lint, test, e2e.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := help
.NOTPARALLEL:

GO ?= go
GOTEST ?= $(GO) test
# Tests of what enters a namespace depend on the kernel, which the test cache
# does not know; those of one package must not depend on their order.
TESTFLAGS := -count=1 -shuffle=on -exec '$(CURDIR)/.ci/as-root'

# The version is told to the linker; go itself asks no version control, so the same
# sources give the same bytes wherever they lie. grpcnotrace leaves out a debug page of
# the gRPC library and what it takes to draw it.
VERSION ?= $(shell git describe --tags --dirty 2>/dev/null)
COMMIT ?= $(shell git describe --always --exclude='*' --abbrev=12 --dirty 2>/dev/null)
GOBUILD = CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -tags grpcnotrace \
	-ldflags '-s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)'

# The linters have a go.mod of their own; go keeps the built tool in its cache.
# Without cgo no C compiler is needed, and code is checked as it is shipped.
GOLANGCI := CGO_ENABLED=0 $(GO) tool -modfile=.ci/tools/go.mod

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## bin/nsenter-mcp, one static file
	$(GOBUILD) -o bin/ ./cmd/nsenter-mcp

.PHONY: demo
demo: build ## a throw-away lab of network namespaces, seen by a real MCP client
	$(GOBUILD) -o bin/ ./internal/demo
	bin/demo bin/nsenter-mcp

.PHONY: test
test: build ## every test that needs no engine; the race detector watches
	.ci/install-packages test
	@# Race builds use cgo; the tags keep the pure Go resolver that is shipped.
	CGO_ENABLED=1 NSENTER_MCP='$(CURDIR)/bin/nsenter-mcp' \
		$(GOTEST) $(TESTFLAGS) -race -tags netgo,osusergo -timeout 20m ./...
	@# What is shipped has no cgo: there the runtime itself makes the threads.
	@# The order of names in a directory is the file system's: here that of a tmpfs.
	CGO_ENABLED=0 $(GOTEST) $(TESTFLAGS) -exec '$(CURDIR)/.ci/as-root $(CURDIR)/.ci/on-tmpfs' -timeout 5m ./nsexec/... ./resolve/...

.PHONY: fresh
fresh: ## demo and test in a bare Debian that debootstrap makes once, as root and as a user; FRESH=DIR
	.ci/fresh

.PHONY: e2e e2e-node e2e-kube
e2e: e2e-node e2e-kube ## the built program with real parts: Docker, podman, ssh, sudo, MCP clients, Kubernetes

e2e-node: build
	.ci/install-packages test e2e
	.ci/install-inspector
	CGO_ENABLED=0 NSENTER_MCP='$(CURDIR)/bin/nsenter-mcp' \
		$(GOTEST) $(TESTFLAGS) -tags e2e -timeout 20m $$($(GO) list -tags e2e ./internal/e2e/... | grep -v /e2e/kube)

# A whole Kubernetes, whose node is a pair of namespaces. Where it keeps its state:
BED ?= /var/tmp/nsenter-mcp-bed
on-bed = CGO_ENABLED=0 NSENTER_MCP='$(CURDIR)/bin/nsenter-mcp' $1 -count=1 -tags e2e \
	-exec '$(CURDIR)/.ci/as-root $(CURDIR)/internal/testbed/node $(BED)'

e2e-kube: build ## the part of it on a Kubernetes of its own, which is built and started for it; BED_FLAVOUR=containerd2
	.ci/install-packages kube
	$(call on-bed,internal/testbed/run '$(BED)' $(GOTEST)) -timeout 20m ./internal/e2e/kube

.PHONY: bed-up bed-down bed-test
bed-up: build ## the Kubernetes of e2e-kube, to stay; BED=DIR says where
	.ci/install-packages kube
	programs=$$(internal/testbed/build $(BED_FLAVOUR)) && .ci/as-root env $$programs internal/testbed/up '$(BED)'

bed-down: ## stops it and removes its traces
	.ci/as-root internal/testbed/down '$(BED)'

BEDTEST ?= .
bed-test: build ## its tests on a bed that is up; BEDTEST=regexp
	$(call on-bed,$(GOTEST)) -timeout 20m -run '$(BEDTEST)' ./internal/e2e/kube

.PHONY: eval
eval: build ## pods with a fault each, walked by the answers alone; writes docs/eval.md
	CGO_ENABLED=0 NSENTER_MCP='$(CURDIR)/bin/nsenter-mcp' \
		$(GO) test $(TESTFLAGS) -tags e2e -parallel 8 -timeout 15m ./internal/e2e/eval -args -update

.PHONY: bench
BENCH ?= .
BENCHPKGS ?= $$($(GO) list -tags e2e ./... | grep -v /internal/e2e/kube)
bench: build ## measured against the usual tools in one run; BENCH=regexp, BENCHPKGS=packages
	.ci/install-packages test e2e
	CGO_ENABLED=0 NSENTER_MCP='$(CURDIR)/bin/nsenter-mcp' \
		$(GO) test -tags e2e -exec '$(CURDIR)/.ci/as-root' -run '^$$' -bench '$(BENCH)' -benchmem -timeout 30m $(BENCHPKGS)

.PHONY: soak
SOAK ?= 10m
soak: build ## mixed calls, dying pods and hostile servers for SOAK=10m: what the server holds before and after
	CGO_ENABLED=0 NSENTER_MCP='$(CURDIR)/bin/nsenter-mcp' NSENTER_MCP_SOAK='$(SOAK)' \
		$(GOTEST) $(TESTFLAGS) -tags e2e -run '^TestSoak$$' -v -timeout 0 ./internal/e2e

.PHONY: lint lint-go lint-vet lint-mod lint-text lint-shell lint-self
lint: lint-go lint-vet lint-mod lint-text lint-shell lint-self ## all checks that run no product code

lint-go:
	$(GOLANGCI) golangci-lint run
	@# run sees the files of one system and no others; this sees all.
	$(GOLANGCI) golangci-lint fmt --diff

# A platform is SYSTEM-ARCHITECTURE[.exe]; this sets it for go.
platform = GOOS=$(word 1,$(subst -, ,$1)) GOARCH=$(basename $(word 2,$(subst -, ,$1)))

VET := linux-amd64 linux-arm64 darwin-arm64 windows-amd64
lint-vet: $(VET:%=vet-%)
vet-%:
	CGO_ENABLED=0 $(call platform,$*) $(GO) vet -tags e2e ./...

lint-mod:
	$(GO) mod tidy -diff

lint-text:
	.ci/check-text

lint-shell:
	.ci/install-packages lint
	shellcheck --external-sources --check-sourced --source-path=SCRIPTDIR \
		$$(grep -l -d skip '^#!.*bash' .ci/* deploy/* internal/testbed/*)

lint-self:
	.ci/lint-selftest "$$($(GOLANGCI) -n golangci-lint)"

.PHONY: vuln
VULNDB ?=
vuln: ## known vulnerabilities of what is linked, by govulncheck; VULNDB=address of another database
	$(GOLANGCI) govulncheck $(if $(VULNDB),-db '$(VULNDB)') ./...

.PHONY: record
record: ## records what agents see of the tools, for review, after a change of it
	$(GO) test ./tools -run '^TestRecordedSchemas$$' -update
	$(GO) test ./tools -run '^TestArgumentsPage$$' -update # from what was recorded, which is linked in
	$(GO) test ./internal/mcpserve -run '^TestWhatTheModelSees$$' -update
	$(GO) test ./tools/diagnose -run '^TestFindingsPage$$' -update

.PHONY: fmt
fmt: ## formats the code
	$(GOLANGCI) golangci-lint fmt

DIST := linux-amd64 linux-arm64 darwin-amd64 darwin-arm64 windows-amd64.exe
.PHONY: dist $(DIST)
dist: $(DIST) ## release files for every platform in dist/, with their checksums
	cd dist && sha256sum $(DIST:%=nsenter-mcp-%) >SHA256SUMS

$(DIST):
	$(call platform,$@) $(GOBUILD) -o dist/nsenter-mcp-$@ ./cmd/nsenter-mcp

# Neither engine nor registry takes part. The archive is for docker load, podman
# load or ctr images import; deploy/Dockerfile makes the same by an engine.
IMAGE ?= docker.io/library/nsenter-mcp:dev
IMAGE_ARCH ?= $(shell $(GO) env GOARCH)
.PHONY: image
image: linux-$(IMAGE_ARCH) ## dist/nsenter-mcp-image.tar, the container image; IMAGE=name:tag, IMAGE_ARCH
	$(GO) run ./internal/mkimage -ref '$(IMAGE)' -arch $(IMAGE_ARCH) -out dist/nsenter-mcp-image.tar \
		-file /nsenter-mcp=dist/nsenter-mcp-linux-$(IMAGE_ARCH) -entrypoint /nsenter-mcp \
		-label org.opencontainers.image.title=nsenter-mcp -label org.opencontainers.image.version='$(VERSION)' \
		-label org.opencontainers.image.revision='$(COMMIT)' -label org.opencontainers.image.licenses=Apache-2.0

.PHONY: clean
clean: ## removes what make made
	rm -rf bin dist .ci/node/node_modules
