# `make help` lists the targets.
SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS   += --no-print-directory

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT  ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
# Go's monitor thread sleeps when all is idle, and the next system call has to wake it; then it looks every 20 us. A broker goes idle thousands of
# times a second. With a schedtrace it does not sleep, but looks less and less often, every 10 ms at last: a quarter less CPU for replication,
# a third for a light load (docs/performance.md). The trace itself is a line every 25 days, the longest that the runtime takes.
AWAKE   := -X runtime.godebugDefault=schedtrace=2147483647
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT) $(AWAKE)

# make run
PORT ?= 9092
DATA ?= data
# make compat
BOOTSTRAP ?=
# make fuzz
FUZZTIME ?= 5s
# make eos
MINUTES ?= 5
# make churn, with MINUTES too
MEMBERS ?= 60
# make crash
SEEDS ?= 10000
# make sim, with SEEDS too: from FIRST on, or one SEED with all that happens
FIRST ?= 1
SEED  ?=
PLANTED := no_truncation early_high_watermark
# make bench
BENCHTIME ?= 1s
COUNT ?= 1

.PHONY: $(shell sed -n 's/^\([a-z-]*\):.*/\1/p' $(MAKEFILE_LIST))

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build bin/ottla: static, with version and commit
	@CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/ottla ./cmd/ottla

tools: # the programs of the tests
	@cd compat-tests && CGO_ENABLED=0 go build -o ../bin/ ./cmd/testout ./cmd/compat ./cmd/benchcheck ./cmd/scaling ./kbench

run: build ## start a standalone broker on 127.0.0.1:$(PORT), data in $(DATA)
	@echo "a broker on 127.0.0.1:$(PORT), its data in $(abspath $(DATA)); Ctrl-C stops it. In another terminal:"
	@echo "  echo hello | kcat -b 127.0.0.1:$(PORT) -t greetings -P"
	@echo "  kcat -b 127.0.0.1:$(PORT) -t greetings -C -o beginning -e"
	@echo "  echo hello | bin/ottla produce greetings --bootstrap 127.0.0.1:$(PORT)"
	@exec bin/ottla broker --set listeners=PLAINTEXT://127.0.0.1:$(PORT) --set log.dirs=$(abspath $(DATA)) \
	  --set offsets.topic.replication.factor=1 --set transaction.state.log.replication.factor=1 \
	  --set transaction.state.log.min.isr=1 --set group.initial.rebalance.delay.ms=0

test: test-go test-sim test-compat ## all tests of `go test -race ./...`, and the quick checks with real clients; installs what they need

test-go: tools
	@.ci/deps race
	@. .ci/env; go test -race -json ./... | bin/testout -counts "$${TEST_COUNTS:-}"

# A hundred seeds, twenty of them twice, and both planted bugs.
test-sim: tools sim-overlay
	@$(SIM) -count=1 -json ./broker/sim -sim.seeds 100 | bin/testout -counts "$${TEST_COUNTS:-}"
	@for bug in $(PLANTED); do $(SIM) -tags simruntime,planted_$$bug -count=1 -json -run TestPlanted ./broker/sim -sim.seeds 1000 | \
	  bin/testout -counts "$${TEST_COUNTS:-}" || exit 1; done

test-compat: build tools
	@.ci/deps
	@cd compat-tests && go test -count=1 -json ./internal/... ./cmd/... ./kbench ./harness | ../bin/testout -counts "$${TEST_COUNTS:-}"
	@. .ci/env; bin/compat -quick -counts "$${TEST_COUNTS:-}"

lint: ## gofmt, go vet, staticcheck, shell syntax
	@bad=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go')); [ -z "$$bad" ] || { echo "not formatted: $$bad"; exit 1; }
	@go vet ./...
	@go build -o bin/staticcheck honnef.co/go/tools/cmd/staticcheck
	@bin/staticcheck ./...
	@cd compat-tests && go vet ./... && ../bin/staticcheck ./...
	@for f in .ci/deps .ci/run .ci/fuzz .ci/env compat-tests/peers/kafka compat-tests/kbench/brokers/* compat-tests/compose/run compat-tests/kbench/flames compat-tests/compose/zookeeper-entry; do bash -n $$f; done

crash: ## the log store on a disk that crashes, SEEDS random workloads
	@go test -count=1 -timeout 0 -v -run 'TestCrash$$' ./storage -crash-seeds $(SEEDS)

SIM := go test -tags simruntime -overlay bin/sim/overlay.json

sim: sim-overlay ## whole brokers in a simulated world: SEEDS runs from FIRST on, or one SEED with all that happens (docs/simulation.md)
	@$(SIM) -c -o bin/sim/sim.test ./broker/sim
	@if [ -n '$(SEED)' ]; then GODEBUG=asyncpreemptoff=1 GOMAXPROCS=1 GOGC=off bin/sim/sim.test -test.v -test.run 'TestSeed$$' -sim.seed $(SEED); else \
	  bin/sim/sim.test -test.v -test.timeout 0 -test.run 'TestSeeds|TestReplay' -sim.first $(FIRST) -sim.seeds $(SEEDS); fi

sim-planted: sim-overlay ## whether the simulation finds bugs planted behind build tags, each within SEEDS seeds
	@for bug in $(PLANTED); do echo "planted: $$bug"; \
	  $(SIM) -tags simruntime,planted_$$bug -count=1 -v -timeout 0 -run TestPlanted ./broker/sim -sim.first $(FIRST) -sim.seeds $(SEEDS) || exit 1; done

sim-overlay:
	@go run ./broker/sim/overlay bin/sim

bench: ## benchmarks in Go's format (BENCHTIME, COUNT); kbench compares brokers: bin/kbench suite -h
	@go test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) -count $(COUNT) ./...

plots: build tools ## measure how costs grow, and draw docs/plots: five minutes on a quiet machine
	@bin/scaling -out docs/plots

flames: tools ## flame graphs of the broker under load in docs/plots; needs perf
	@compat-tests/kbench/flames '$(AWAKE)' docs/plots

bench-check: tools ## counted costs (allocations, bytes, system calls) against compat-tests/results/bench-baseline.txt
	@bin/benchcheck -baseline compat-tests/results/bench-baseline.txt -counts "$${TEST_COUNTS:-}"

bench-baseline: tools ## make the costs of this commit what bench-check compares with
	@bin/benchcheck -baseline compat-tests/results/bench-baseline.txt -write

compat: tools ## all checks with real clients against Ottla, or against BOOTSTRAP=host:port; writes docs/compatibility.md
	@.ci/deps
	@if [ -n '$(BOOTSTRAP)' ]; then bin/compat -bootstrap '$(BOOTSTRAP)'; else \
	  $(MAKE) build; . .ci/env; bin/compat -table docs/compatibility.md -counts "$${TEST_COUNTS:-}"; fi

compat-kafka: tools ## the same checks against a real Apache Kafka 3.9.2 (Maven fetches it)
	@.ci/deps
	@. .ci/env; bin/compat -broker kafka -record compat-tests/results/kafka-3.9.2.json

test-kafka: build tools ## one data directory handed back and forth between Ottla and a real Apache Kafka 3.9.2 (Maven fetches it)
	@.ci/deps kafka
	@cd compat-tests && go test -count=1 -timeout 20m -json ./takeover | ../bin/testout -skips -counts "$${TEST_COUNTS:-}"

test-recordings: ## whether what tests compare with is still what a real Apache Kafka 3.9.2 says
	@. .ci/env; cd compat-tests && BROKER=kafka go test -count=1 -timeout 20m ./harness ./admin ./process

eos: build ## transactions on three brokers that are killed in turn for MINUTES, their history searched for anomalies
	@.ci/deps
	@. .ci/env; cd compat-tests && go test -count=1 -v -timeout 24h -run 'TestHistory|TestCheck' ./txn -args -minutes=$(MINUTES)

cluster-test: build ## faults of three brokers under load: all of them, the stall of each printed (BROKER=kafka: Apache Kafka 3.9.2)
	@.ci/deps
	@. .ci/env; cd compat-tests && go test -count=1 -timeout 20m -v ./cluster

rootfs: build # the file tree of the image
	@rm -rf bin/rootfs && mkdir -p bin/rootfs/usr/local/bin bin/rootfs/tmp bin/rootfs/var/lib/kafka/data
	@cp bin/ottla bin/rootfs/usr/local/bin/ && chmod 1777 bin/rootfs/tmp && chmod 0775 bin/rootfs/var/lib/kafka/data

image: rootfs ## build the container image ottla:latest from bin/ottla
	@docker build -t ottla:latest --target prebuilt .

churn: build ## consumer groups of MEMBERS mixed clients in motion for MINUTES on three brokers, coordinators killed (BROKER=kafka for Kafka)
	@.ci/deps
	@. .ci/env; cd compat-tests && CHURN_TIME=$(MINUTES)m CHURN_MEMBERS=$(MEMBERS) go test -count=1 -v -timeout $$(( $(MINUTES) + 15 ))m ./churn

compose-test: build ## docker-compose.yml for real: produce and consume through the published ports
	@.ci/deps docker
	@compat-tests/compose/run

fuzz: ## every fuzz target for FUZZTIME
	@FUZZTIME=$(FUZZTIME) .ci/fuzz

docs: build ## write docs/config.md from the table of configuration keys
	@bin/ottla config reference >docs/config.md

ci: ## what runs before a change is taken (.ci/run)
	@.ci/run

clean: ## remove bin
	@rm -rf bin
