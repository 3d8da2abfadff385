SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# What only tests and lint need has a module of its own; the go command builds it once and prints where it is.
golangci-lint = "$$(go -C internal/testenv/tools tool -n golangci-lint)"

# It runs go test with what stands behind its --, and repeats at the end what failed.
gotestsum = "$$(go -C internal/testenv/tools tool -n gotestsum)" --format pkgname --format-hide-empty-pkg --

# SQLite is C in Go's clothes: what the race detector and checkptr look for is not there, and costs half of a night.
race = -race '-gcflags=modernc.org/...=-race=false -d=checkptr=0'

version := $(shell git describe --tags --always --dirty 2>/dev/null || echo 0.1.0)

.PHONY: help build demo test test-long soak bench-extract bench-load bench-peers bench-status bench-workers bench-scale bench-plan lint fmt setup image clean

help: ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

build: ## bin/daybreak
	go build -trimpath -ldflags "-s -w -X github.com/daybreak-data/daybreak/internal/app.version=$(version)" -o bin/daybreak .

demo: ## a company's last seven nights, and the status page on http://127.0.0.1:8080
	go run . demo

test: setup ## everything, with the race detector, against real servers; PKG=./load or RUN=TestVerify for less
	go vet $(or $(PKG),./...)
	$(gotestsum) $(race) -timeout 90m $(if $(RUN),-run '$(RUN)') $(or $(PKG),./...)

test-long: setup ## test, and the soaks and crash grids that take an hour
	go vet -tags long ./...
	$(gotestsum) $(race) -tags long -timeout 90m ./...

soak: setup ## a day in twenty minutes: a night every few seconds and a fault a minute, with the service's memory watched; DAYBREAK_SOAK=1m for less
	DAYBREAK_SOAK=$${DAYBREAK_SOAK:-20m} go test -tags long -run '^TestASoak$$' -timeout 90m -v .

bench-extract: ## extraction against a bare COPY of the same tables, or ONLY=Postgres, MariaDB or Memory of it; DAYBREAK_BENCH_ROWS=6000000 for the documented size
	go test -run '^$$' -bench '$(or $(ONLY),Postgres|MariaDB|Memory)' -benchtime 1x -timeout 60m ./extract/bench

bench-peers: ## the same tables brought to Parquet by Daybreak and by ConnectorX, dlt, sling and ingestr from PyPI
	extract/bench/peers/install.sh $${XDG_CACHE_HOME:-$$HOME/.cache}/daybreak/peers
	DAYBREAK_BENCH_PEERS=$${XDG_CACHE_HOME:-$$HOME/.cache}/daybreak/peers go test -tags peers -run '^$$' -bench Peers -benchtime 1x -timeout 120m ./extract/bench

bench-load: ## loading with verification against a bare CREATE TABLE AS of the same files; DAYBREAK_BENCH_ROWS=6000000 for the documented size
	go test -run '^$$' -bench . -benchmem -benchtime 1x -timeout 60m ./load/bench

bench-status: ## the status service over 2,000 datasets × 400 nights, on SQLite and on PostgreSQL: its start, a change, pollers, a crowd
	go test -run '^$$' -bench Status -benchtime 1x -timeout 60m .

bench-scale: ## extraction at 1, 4 and 16 million rows, and a billion projected from them: docs/scale.md; a few minutes
	go test -run '^$$' -bench Scale -benchtime 1x -timeout 20m ./extract/bench

bench-workers: ## a night's extraction through a slow network with one worker process and with two
	go test -run '^$$' -bench Workers -benchtime 1x -timeout 30m -v ./extract/workers

bench-plan: ## planning at scale: ten thousand datasets, three years of backfill, and what the ledger keeps of it
	go test -run '^$$' -bench 'Plan|BackfillThreeYears' -benchmem -benchtime 1x -timeout 20m ./schedules ./internal/ledger

lint: ## layers, style and likely mistakes
	$(golangci-lint) run ./...

fmt: ## format the code
	$(golangci-lint) fmt ./...

setup: ## install what the tests need, on Debian and its like, and build the test servers
	@internal/testenv/setup.sh

image: ## the container image daybreak:latest
	docker build --build-arg VERSION=$(version) -t daybreak .

clean: ## remove what was built and the demo's workspace
	rm -rf bin artifacts daybreak-demo
