# IoT InsightHub. `make help` lists the targets; `make run` and `make test` do everything.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

STAGE      ?= dev
STATE      ?= .local
HTTP       ?= 127.0.0.1:8080
TIMESCALE  := .local/timescale
PGLITE     := lib/timescale/testdata/pglite
PROMETHEUS := .local/prometheus
REDIS      := .local/redis
COTURN     := .local/coturn
TINYGO     := .local/tinygo
QEMU       := .local/qemu
CHROMIUM   := .local/chromium
WASM       := web/public/detector.wasm
PROMETHEUS3 := .local/prometheus3
K6         := .local/k6
SDK_JS     := @aws-sdk/client-kinesis@3.1143.0
sources     = $(shell find $(1) -name '*.go' -o -name '*.sql' -o -name '*.sh' | grep -v -e node_modules -e _test.go) go.mod go.sum
# cdk/local/stackfile and what it imports are read by functions/audit and the load generator too.
LIB_FILES  := $(call sources,lib cdk/local/stackfile cdk/local/atomicfile)
LAMBDA_GO  := go build -tags lambda.norpc -ldflags='github.com/insighthub/insighthub/functions/...=-s -w -buildid=' -ldflags='github.com/insighthub/insighthub/signaling=-s -w -buildid='
GOLANGCI   := .bin/golangci-lint
GOLANGCI_V := v2.15.0

ASSEMBLY   := build/local/assembly

# One configuration of the compiler for programs and tests, so that each package is compiled once. The CDK's
# generated bindings, a third of all code, are not optimised: they run for seconds.
export CGO_ENABLED := 0
export GOFLAGS     := -trimpath -buildvcs=false '-gcflags=github.com/aws/aws-cdk-go/...=-N -l -dwarf=false'

# Slow steps print a line with the seconds since make was started. Independent steps run in parallel.
export STARTED ?= $(shell date +%s)
SAY      = @printf '[%4d s] %s\n' "$$(($$(date +%s) - $(STARTED)))"
JOBS     = --no-print-directory --jobs 4

ifeq ($(shell command -v go),)
$(error Go is missing: install Go 1.26 or newer, https://go.dev/doc/install)
endif

# The CDK's Node process: quiet about its own age, its cache inside the project.
export JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION := 20
export JSII_DEPRECATED := quiet
export JSII_RUNTIME_PACKAGE_CACHE_ROOT := $(CURDIR)/.bin/jsii

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{ printf "%-16s %s\n", $$1, $$2 }'

.PHONY: run
run: ## Run the whole stack with a simulated fleet; FLEET= runs it without one
	@$(MAKE) $(JOBS) local
	@nice -n 10 $(MAKE) --no-print-directory pages &
	$(SAY) "Starting the stack"
	@build/local/insighthub-local -assembly $(ASSEMBLY) -stage $(STAGE) -state $(STATE) -http $(HTTP) -timescale $(TIMESCALE) -prometheus $(PROMETHEUS) -and "$(FLEET)"

.PHONY: local
local: $(ASSEMBLY)/manifest.json build/local/.built $(TIMESCALE)/.stamp $(PROMETHEUS)/.stamp $(REDIS)/.stamp $(COTURN)/.stamp

# The stack serves the pages once they are there: on a new machine their detector's compiler is built first, for minutes.
.PHONY: pages
pages: build/local/web/.built ## Build the pages that the local stack serves under /live/

build/local/web/.built: $(WASM) web/node_modules/installed web/vite.config.ts $(shell find web/src web/live -name '*.ts' -o -name '*.css' -o -name '*.html')
	$(SAY) "Building the pages"
	@cd web && npm run --silent build && touch ../$@

FLEET ?= build/local/loadtest simulate -state $(STATE) -rate 1000

# Without vet: the linter runs it.
.PHONY: test
test: ## Run all tests, against the real database
	@$(MAKE) $(JOBS) test-needs
	$(SAY) "Testing the Go packages"
	@mkdir -p build && go_tests=passed && web_tests=passed; \
		INSIGHTHUB_TEST_REQUIRED=1 $(TESTDB) -- go test -vet=off -timeout 30m $(TEST_ARGS) ./... 2>&1 | tee build/test.log || go_tests=failed; \
		$(MAKE) --no-print-directory test-web || web_tests=failed; \
		awk -v web="$$web_tests" -v went="$$go_tests" -f cdk/local/testsummary.awk build/test.log; \
		[ $$go_tests$$web_tests = passedpassed ]

.PHONY: test-needs
test-needs: local pages build/lambda/.built cdk.out/manifest.json $(WASM) $(QEMU)/.stamp $(CHROMIUM)/.stamp cdk/node_modules/installed $(PGLITE)/node_modules/installed web/node_modules/installed

TESTDB := go run ./cdk/local/postgres/cmd/testdb -tree $(TIMESCALE)

.PHONY: ci-needs
ci-needs: ## Build and install what .ci/run needs
	@$(MAKE) $(JOBS) test-needs prometheus3 $(GOLANGCI)

.PHONY: test-web
test-web: $(WASM) $(CHROMIUM)/.stamp web/node_modules/installed ## Run the browser's tests, in Node.js and in Chromium
	$(SAY) "Testing the browser's parts"
	@cd web && npm run --silent check && INSIGHTHUB_TEST_REQUIRED=1 npm run --silent test

.PHONY: test-race
test-race: $(TIMESCALE)/.stamp $(PROMETHEUS)/.stamp cdk/node_modules/installed $(PGLITE)/node_modules/installed ## Run the concurrent packages' tests under the race detector
	$(SAY) "Testing under the race detector"
	@INSIGHTHUB_TEST_REQUIRED=1 $(TESTDB) -- env CGO_ENABLED=1 \
		go test -race -vet=off -timeout 30m ./cdk/local/eventsource/... ./cdk/local/kinesis/... ./cdk/local/lambda/... ./cdk/local/httpapi/... ./lib/aws/kinesis/... ./lib/timescale/... ./loadtest/drive/... ./signaling/hub ./lib/gateway/signal

# Programs that start goroutines and processes, whose tests must not depend on the scheduler.
CONCURRENT = $(filter-out %/stack %/testdata/echo,$(shell go list -f '{{.Dir}}' ./cdk/local/... ./lib/aws/kinesis ./lib/shardstate ./lib/lambda/... ./lib/stream))
BUSY      ?= 3
COUNT     ?= 50
busy       = loops=; for i in $$(seq $(BUSY)); do while :; do :; done & loops="$$loops $$!"; done; trap 'kill $$loops' EXIT

.PHONY: test-busy
test-busy: ## Run all tests while BUSY=3 busy loops use the processor
	@$(busy); $(MAKE) --no-print-directory test TEST_ARGS=-count=1

.PHONY: test-pinned
test-pinned: ## Run all tests on one core
	@taskset -c 0 $(MAKE) --no-print-directory test TEST_ARGS=-count=1

.PHONY: test-repeat
test-repeat: $(TIMESCALE)/.stamp $(PROMETHEUS)/.stamp cdk/node_modules/installed ## Run the tests of concurrent packages COUNT=50 times with BUSY=3 busy loops, and COUNT times on one core
	$(SAY) "Testing $(COUNT) times with $(BUSY) busy loops"
	@$(busy); INSIGHTHUB_TEST_REQUIRED=1 $(TESTDB) -- go test -timeout 3h -count $(COUNT) $(CONCURRENT)
	$(SAY) "Testing $(COUNT) times on one core"
	@INSIGHTHUB_TEST_REQUIRED=1 taskset -c 0 $(TESTDB) -- go test -timeout 3h -count $(COUNT) $(CONCURRENT)

.PHONY: lint
lint: $(GOLANGCI) ## Run the linters
	@$(GOLANGCI) run ./...

.PHONY: fmt
fmt: $(GOLANGCI) ## Format the code
	@$(GOLANGCI) fmt ./...

.PHONY: fuzz
FUZZTIME ?= 20s
fuzz: ## Run each fuzz target for FUZZTIME
	@grep -rlE '^func Fuzz' --include='*_test.go' functions lib cdk/local loadtest signaling wasm | while read -r f; do \
		for target in $$(grep -oE '^func Fuzz[A-Za-z0-9]+' "$$f" | cut -d' ' -f2); do \
			echo "$$(dirname "$$f") $$target"; go test "./$$(dirname "$$f")" -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) | tail -1; done; done

.PHONY: bench
bench: ## Run the micro-benchmarks
	@go test -run '^$$' -bench . -benchmem ./lib/telemetry ./lib/ingest ./functions/store ./lib/timescale ./lib/aws/kinesis/... ./cdk/local/httpapi ./loadtest/fleet ./lib/anomaly ./lib/detect ./functions/detect ./lib/token

BENCH := build/local/loadtest bench -assembly $(ASSEMBLY) -timescale $(TIMESCALE) -prometheus $(PROMETHEUS)

.PHONY: score
score: ## Score the files in NAB's format below IN=… into OUT=…: timestamp,value,anomaly_score
	@test -n "$(IN)" -a -n "$(OUT)" || { echo 'make score: want IN=folder OUT=folder' >&2; exit 2; }
	@go run ./lib/anomaly/judge/cmd/judge score "$(IN)" "$(OUT)"

.PHONY: score-nab
score-nab: ## Evaluate the detector on the Numenta Anomaly Benchmark in IN=…, a copy of its repository
	@test -n "$(IN)" || { echo 'make score-nab: want IN=folder' >&2; exit 2; }
	@go run ./lib/anomaly/judge/cmd/judge nab "$(IN)"

.PHONY: score-synthetic
score-synthetic: ## Evaluate the detector on generated noise with and without faults
	@go run ./lib/anomaly/judge/cmd/judge synthetic

.PHONY: score-skab
score-skab: ## Evaluate the detector of machines on the files in SKAB's format below IN=…
	@test -n "$(IN)" || { echo 'make score-skab: want IN=folder' >&2; exit 2; }
	@go run ./lib/anomaly/judge/cmd/judge skab "$(IN)"

.PHONY: bench-pipeline
bench-pipeline: local build/local/yardstick ## Measure the throughput from gateway to database, and that of a plain server (about 9 minutes)
	@$(BENCH) $(BENCH_ARGS)

.PHONY: bench-kpi
bench-kpi: local ## Measure the throughput with the bridge and Prometheus running (about 3 minutes)
	@$(BENCH) -kpis -skip-yardstick -out build/bench/kpi -duration 30s -start-rate 350000 $(BENCH_ARGS)

.PHONY: bench-api
bench-api: local ## Measure the API's latency at 200 reads/s over ten million events (about 4 minutes)
	@build/local/loadtest api -assembly $(ASSEMBLY) -timescale $(TIMESCALE) -prometheus $(PROMETHEUS) $(API_BENCH_ARGS)

.PHONY: ledger
ledger: local build/local/web/bench/.built $(CHROMIUM)/.stamp ## Follow events through the cloud and to a browser, and print where the time goes (about 3 minutes)
	@build/local/loadtest ledger -assembly $(ASSEMBLY) -timescale $(TIMESCALE) -prometheus $(PROMETHEUS) $(LEDGER_ARGS)

.PHONY: bench-live
bench-live: local build/local/web/bench/.built $(CHROMIUM)/.stamp ## Measure signaling with 20,000 connections, then the live path in a browser beside a relay (about 10 minutes; LIVE_ARGS='-drift 1h')
	@build/local/loadtest signaling $(SIGNALING_ARGS)
	@build/local/loadtest live $(LIVE_ARGS)

.PHONY: bench-signaling
bench-signaling: build/local/.built ## Measure the signaling service with 20,000 connections (about 3 minutes; SIGNALING_ARGS='-check')
	@build/local/loadtest signaling $(SIGNALING_ARGS)

build/local/web/bench/.built: $(WASM) web/node_modules/installed $(shell find web/src web/bench -name '*.ts' -o -name '*.html')
	$(SAY) "Building the page of the bench"
	@cd web && npx vite build --config bench/vite.config.ts && touch ../$@

.PHONY: fuzz-api
fuzz-api: local ## Send mutated requests to every operation of the contract, and each as every caller (about 5 minutes; FUZZ_ARGS='-seed 2')
	@build/local/loadtest fuzz-api -assembly $(ASSEMBLY) -timescale $(TIMESCALE) -prometheus $(PROMETHEUS) $(FUZZ_ARGS)

.PHONY: bench-flood
bench-flood: local ## Measure a flood of garbage at each open endpoint (about 11 minutes; FLOOD_ARGS='-duration 60s')
	@build/local/loadtest flood -assembly $(ASSEMBLY) -timescale $(TIMESCALE) -prometheus $(PROMETHEUS) $(FLOOD_ARGS)

.PHONY: outage
outage: local ## Stop Prometheus under load for five minutes, and check that no sample is lost (about 7 minutes)
	@build/local/loadtest outage -assembly $(ASSEMBLY) -timescale $(TIMESCALE) -prometheus $(PROMETHEUS) $(OUTAGE_ARGS)

.PHONY: load
load: local $(K6)/.stamp ## Run the k6 load test on the running stack, or on one of its own (about 3 minutes; LOAD_ARGS='-events 10000000')
	@build/local/loadtest k6 -assembly $(ASSEMBLY) -k6 $(K6)/bin/k6 -state $(STATE) -timescale $(TIMESCALE) -prometheus $(PROMETHEUS) $(LOAD_ARGS)

.PHONY: bench-trail
bench-trail: $(TIMESCALE)/.stamp ## Measure sealing and verifying an audit trail of 10 million entries (about 5 minutes, 12 GB on disk)
	@TRAIL_ENTRIES=$${TRAIL_ENTRIES:-10000000} $(TESTDB) -- go test -count 1 -timeout 60m -run TestBenchTrail -v ./functions/audit

.PHONY: bench-wasm
bench-wasm: $(WASM) $(CHROMIUM)/.stamp web/node_modules/installed ## Measure the detector natively, in Node.js, in Chromium and under wazero; SAMPLES=1e9 for the memory
	@SAMPLES=$(SAMPLES) wasm/bench.sh $(WASM) $(CHROMIUM)/bin/chromium

.PHONY: bench-cold
REVISIONS ?= HEAD
bench-cold: ## Measure make run in a bare clone with empty caches, for each of REVISIONS='HEAD …' (minutes)
	@loadtest/coldstart.sh $(REVISIONS)

.PHONY: bench-starts
bench-starts: build/local/loadtest ## Print how long the running stack's functions took to start
	@build/local/loadtest starts -state $(STATE)

.PHONY: replay-csv
replay-csv: build/local/loadtest ## Send FILE=…, a sensor file, through the running stack
	@test -n "$(FILE)" || { echo 'make replay-csv: want FILE=path/to/file.csv' >&2; exit 2; }
	@build/local/loadtest replay -state $(STATE) $(FILE)

.PHONY: audit
audit: build/local/.built ## Run the self-check on the running stack (AUDIT_ARGS=-json)
	@build/local/functions/audit/bootstrap run -state $(STATE) $(AUDIT_ARGS)

.PHONY: token
GATEWAY ?= demo
token: build/local/loadtest ## Print a development token of GATEWAY=demo for the running stack
	@build/local/loadtest token -state $(STATE) -gateway $(GATEWAY)

.PHONY: psql
psql: ## Query the running stack's database: make psql SQL='SELECT …', or without SQL for a prompt
	@test -f $(STATE)/stack.json || { echo 'make psql: no stack is running; make run starts one' >&2; exit 2; }
	@dsn=$$(sed -nE 's/.*"database": *"([^"]*)".*/\1/p' $(STATE)/stack.json); \
		if [ -n "$(value SQL)" ]; then $(TIMESCALE)/bin/psql "$$dsn" -c "$$PSQL_QUERY"; else $(TIMESCALE)/bin/psql "$$dsn"; fi
psql: export PSQL_QUERY = $(SQL)

.PHONY: build
build: ## Build the functions (arm64 for Lambda, and for this machine) and the tools
	@$(MAKE) $(JOBS) build/lambda/.built build/local/.built

# One go build for all programs: two at the same time would each compile what they share. bin/ keeps the
# programs that the next build compares with; each function and service has a folder of its own, as the CDK wants it.
LOCAL_FILES = $(LIB_FILES) $(call sources,functions docs cdk loadtest signaling) docs/openapi.yaml docs/api.html signaling/Dockerfile
place       = mkdir -p "$(2)/$$program" && ln -f "$(1)/$$program" "$(2)/$$program/bootstrap"
place_image = cp signaling/Dockerfile "$(1)/signaling/"

build/lambda/.built: $(LIB_FILES) $(call sources,functions docs signaling) docs/openapi.yaml docs/api.html signaling/Dockerfile
	$(SAY) "Building the functions for Lambda, and the services for Fargate (arm64)"
	@GOOS=linux GOARCH=arm64 $(LAMBDA_GO) -o build/lambda/bin/ ./functions/... ./signaling
	@for program in $$(ls build/lambda/bin); do $(call place,build/lambda/bin,build/lambda); done && $(call place_image,build/lambda) && touch $@

build/local/.built: $(LOCAL_FILES)
	$(SAY) "Building the functions for this machine, the local stack, the load generator and the CDK app (the first time takes minutes)"
	@$(LAMBDA_GO) -o build/local/bin/ ./functions/... ./signaling ./cdk/local ./loadtest ./cdk
	@for program in $$(ls functions) signaling; do $(call place,build/local/bin,build/local/functions); done && $(call place_image,build/local/functions)
	@cd build/local && ln -f bin/local insighthub-local && ln -f bin/loadtest loadtest && ln -f bin/cdk cdk && touch .built

build/local/insighthub-local build/local/loadtest build/local/cdk: build/local/.built ;

build/local/yardstick: $(call sources,loadtest/yardstick)
	$(SAY) "Building the yardstick"
	@go build -o $@ ./loadtest/yardstick

.PHONY: wasm
wasm: $(WASM) ## Build the detector's WebAssembly module (with TinyGo, which the first time takes two minutes to build)

$(WASM): $(filter-out %_test.go,$(wildcard lib/anomaly/*.go wasm/*.go wasm/module/*.go)) wasm/build.sh wasm/target.json wasm/toolchain/module.mod $(TINYGO)/.stamp
	@wasm/build.sh $(TINYGO) $@

.PHONY: synth
synth: ## Synthesise the CDK app into cdk.out
	@$(MAKE) $(JOBS) cdk.out/manifest.json

SYNTH_FILES = build/local/cdk cdk.json $(wildcard cdk/grafana/rules/*.yaml)
define synthesise
	@command -v node >/dev/null || { echo 'node is missing: install Node.js 20 or newer; the CDK runs on it' >&2; exit 2; }
	@rm -rf $(1) && build/local/cdk $(if $(INSIGHTHUB_ALARM_EMAIL)$(INSIGHTHUB_ALARM_TOPIC),,-stage dev) -functions $(2) -out $(1) 2> >(grep -v 'waitid: no child processes' >&2) && touch $(1)/manifest.json
endef

cdk.out/manifest.json: $(SYNTH_FILES) build/lambda/.built
	$(SAY) "Synthesising the CDK app into cdk.out"
	$(call synthesise,cdk.out,build/lambda)

# The same templates with the programs of this machine, so that running them compiles nothing for Lambda.
$(ASSEMBLY)/manifest.json: $(SYNTH_FILES) build/local/.built
	$(SAY) "Synthesising the CDK app for this machine"
	$(call synthesise,$(ASSEMBLY),build/local/functions)

.PHONY: tools
tools: ## Install what the tests and linters need
	@$(MAKE) $(JOBS) $(GOLANGCI) $(TIMESCALE)/.stamp $(PROMETHEUS)/.stamp $(REDIS)/.stamp $(COTURN)/.stamp $(TINYGO)/.stamp $(QEMU)/.stamp $(CHROMIUM)/.stamp \
		cdk/node_modules/installed $(PGLITE)/node_modules/installed web/node_modules/installed

$(TIMESCALE)/.stamp: cdk/local/postgres/install.sh
	@cdk/local/postgres/install.sh $(TIMESCALE) && touch $@

$(REDIS)/.stamp: cdk/local/redis/install.sh
	@cdk/local/redis/install.sh $(REDIS) && touch $@

$(COTURN)/.stamp: cdk/local/coturn/install.sh
	@cdk/local/coturn/install.sh $(COTURN) && touch $@

# Checked each time: a newer server may be on the PATH.
.PHONY: FORCE
$(PROMETHEUS)/.stamp: FORCE
	@cdk/local/prometheus/install.sh $(PROMETHEUS)

.PHONY: prometheus3
prometheus3: ## Build Prometheus 3 into .local/prometheus3, for remote write 2.0 (about 4 minutes the first time)
	@cdk/local/prometheus/build3.sh $(PROMETHEUS3)

.PHONY: test-prometheus3
test-prometheus3: prometheus3 ## Test remote write 2.0, the bridge's histograms and the rules against Prometheus 3
	@INSIGHTHUB_TEST_PROMETHEUS3=$(CURDIR)/$(PROMETHEUS3)/bin/prometheus \
		go test -count 1 ./lib/prometheus/remotewrite ./functions/bridge ./cdk/local/prometheus/... ./cdk/grafana

.PHONY: test-sdk-js
test-sdk-js: ## Test the local Kinesis with the AWS SDK for JavaScript, installed into .local/sdk-js
	@test -d .local/sdk-js/node_modules || npm install --prefix .local/sdk-js --no-audit --no-fund --silent $(SDK_JS)
	@INSIGHTHUB_TEST_SDK_JS=$(CURDIR)/.local/sdk-js go test -count 1 -run TestSDKForJavaScript ./cdk/local/stack

# Checked each time: a k6 may be on the PATH.
$(K6)/.stamp: FORCE
	@loadtest/k6/install.sh $(K6)

$(TINYGO)/.stamp: wasm/toolchain/install.sh wasm/toolchain/tinygo.mod wasm/toolchain/tinygo.sum
	@wasm/toolchain/install.sh $(TINYGO) && touch $@

$(QEMU)/.stamp: wasm/parity/install.sh
	@wasm/parity/install.sh $(QEMU) && touch $@

$(CHROMIUM)/.stamp: web/chromium/install.sh
	@web/chromium/install.sh $(CHROMIUM) && touch $@

web/node_modules/installed: web/package.json web/package-lock.json
	@command -v npm >/dev/null || { echo 'npm is missing: install Node.js 20.19 or newer' >&2; exit 2; }
	$(SAY) "Installing what the console is built and tested with (npm)"
	@cd web && npm ci --no-fund --no-audit --loglevel=error && touch node_modules/installed

cdk/node_modules/installed: cdk/package.json cdk/package-lock.json
	@command -v npm >/dev/null || { echo 'npm is missing: install Node.js 20 or newer' >&2; exit 2; }
	$(SAY) "Installing the CDK command and the reference Kinesis (npm)"
	@cd cdk && npm ci --no-fund --no-audit --loglevel=error && touch node_modules/installed

$(PGLITE)/node_modules/installed: $(PGLITE)/package.json $(PGLITE)/package-lock.json
	@command -v npm >/dev/null || { echo 'npm is missing: install Node.js 20 or newer' >&2; exit 2; }
	$(SAY) "Installing a TimescaleDB with the Timescale licence for the tests (npm)"
	@cd $(PGLITE) && timeout 300 npm ci --no-fund --no-audit --loglevel=error && touch node_modules/installed

$(GOLANGCI):
	$(SAY) "Building golangci-lint $(GOLANGCI_V) (the first time takes minutes)"
	@GOBIN=$(CURDIR)/.bin go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_V)

.PHONY: clean
clean: ## Remove what was built, but not the data in .local
	@rm -rf build cdk.out
