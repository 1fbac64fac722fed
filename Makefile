# One profile, one target folder, one environment (scripts/env.sh): RocksDB is compiled once.

# Where `make run` keeps its data.
DATA ?= $(HOME)/.local/share/drystone
# More arguments for the program that the target runs, for example: make test ARGS="-E 'package(drystone-kv)'"
ARGS ?=

ENV := scripts/env.sh
CARGO_FLAGS := --release --ignore-rust-version --workspace
NEXTEST_FLAGS := --cargo-profile release --ignore-rust-version --workspace

.DEFAULT_GOAL := help
# Cargo shares the work out itself; two set-ups at once would fight over apt's lock.
.NOTPARALLEL:
.PHONY: help run build build-tests test soak sim bench lint deb node-arm64 setup-build setup-test setup-lint setup-deb setup-arm64

help: ## print this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo 'DATA=DIR   where `make run` keeps its data (now $(DATA))'
	@echo 'ARGS="…"   more arguments: of `drystone up` (run), of cargo nextest (test, soak), of sim (sim), of cargo bench (bench)'

run: build ## install what is missing, build, and start a whole Drystone on this machine
	@mkdir -p '$(DATA)'
	@exec $(ENV) sh -c 'exec "$$DRYSTONE_BIN_DIR/drystone" up --data "$$@"' run '$(DATA)' $(ARGS)

build: setup-build ## build the release binaries drystone and drystone-node
	@$(ENV) cargo build $(CARGO_FLAGS) --bins
	@$(ENV) sh -c 'echo "built $$CARGO_TARGET_DIR/release/drystone and drystone-node"'

test: setup-test build-tests ## install what is missing, build, and run every test
	@$(ENV) cargo nextest run $(NEXTEST_FLAGS) $(ARGS)

# The programs together with the tests that drive them: built apart, cargo would give their dependencies other features, and compile them twice.
build-tests:
	@$(ENV) cargo build $(CARGO_FLAGS) --bins --tests

soak: setup-test build-tests ## run the heavy tests with heavier figures, one at a time, output shown
	@DRYSTONE_SOAK=1 $(ENV) cargo nextest run $(NEXTEST_FLAGS) --profile soak $(ARGS)

sim: build ## simulate a year of 2000 volunteers' computers (ARGS=--help: what else there is)
	@exec $(ENV) sh -c 'exec "$$DRYSTONE_BIN_DIR/sim" "$$@"' sim $(ARGS)

bench: build ## run the micro-benchmarks, then load a gateway with six nodes (LOAD="…": more for bench/s3load.py)
	@$(ENV) cargo bench --profile release --ignore-rust-version --workspace --benches $(ARGS)
	@$(ENV) bench/six-nodes.sh load $(LOAD)

lint: setup-lint ## check the formatting, then clippy with every warning an error
	@$(ENV) cargo fmt --all --check
	@$(ENV) cargo clippy $(CARGO_FLAGS) --all-targets -- -D warnings

# The package is the one that cargo-deb made last: its name has version and architecture in it.
deb: setup-deb build ## build a Debian package of the node (installs cargo-deb if it is missing) and look into it
	@$(ENV) cargo deb --no-build --package drystone-storage-node
	@$(ENV) sh -c 'scripts/check-deb.sh "$$(ls -t "$$CARGO_TARGET_DIR"/debian/drystone-node_*.deb | head -n 1)"'

node-arm64: setup-arm64 ## build drystone-node for 64-bit ARM, and run it once in an emulator
	@$(ENV) scripts/arm64.sh

setup-build setup-test setup-lint setup-deb setup-arm64: setup-%:
	@$(ENV) scripts/setup.sh $*
