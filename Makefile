# Every recipe works with a Rust toolchain alone; what is missing beyond that is skipped, and said.

.DEFAULT_GOAL := help
.PHONY: help run test test-clients check lint bench fuzz micromdm nanomdm swarm gallery golden

help: ## list what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

run: ## run the quickstart: 1,000 devices against the bundled reference server
	cargo run --release -- run scenarios/quickstart.toml

test: ## run every test, and check that the core builds without anything that does I/O
	cargo check --lib --no-default-features
	cargo test --no-fail-fast

test-clients: ## push with node-apn, aioapns, httpx, curl and h2load, those that can be installed
	tests/clients/install.sh "$${CARGO_TARGET_DIR:-target}/clients"
	@rm -f "$${CARGO_TARGET_DIR:-target}/clients/count.txt"
	MDMSTORM_CLIENTS="$${CARGO_TARGET_DIR:-target}/clients" cargo test --test clients -- --nocapture
	@cat "$${CARGO_TARGET_DIR:-target}/clients/count.txt"

lint: ## check format and lints with what the toolchain has
	@if cargo fmt --version >/dev/null 2>&1; then \
		echo "cargo fmt --check"; cargo fmt --check; \
	else echo "skipped: rustfmt is not installed (rustup component add rustfmt)"; fi
	@if cargo clippy --version >/dev/null 2>&1; then \
		echo "cargo clippy --all-targets"; cargo clippy --all-targets -- -D warnings; \
	else echo "skipped: clippy is not installed (rustup component add clippy)"; fi

check: lint test ## check everything: format, lints, tests, documentation, dependencies
	RUSTDOCFLAGS=-Dwarnings cargo doc --no-deps
	@if cargo deny --version >/dev/null 2>&1; then \
		echo "cargo deny check licenses bans sources"; cargo deny check licenses bans sources; \
	else echo "skipped: cargo-deny is not installed (cargo install cargo-deny)"; fi

bench: ## run the benches; each prints its ratio to a floor measured in the same run
	cargo bench

fuzz: ## run each fuzz target for FUZZ_SECONDS (600), one after another
	@if ! cargo +nightly fuzz --version >/dev/null 2>&1; then \
		echo "fuzzing needs nightly and cargo-fuzz (rustup toolchain install nightly; cargo install cargo-fuzz)"; exit 2; \
	fi
	@for target in $$(cargo +nightly fuzz list); do \
		found="$${CARGO_TARGET_DIR:-target}/fuzz-found/$$target"; mkdir -p "$$found"; \
		echo "fuzz $$target"; options="-max_total_time=$${FUZZ_SECONDS:-600} -print_final_stats=1"; \
		if [ -f "fuzz/$$target.dict" ]; then options="$$options -dict=fuzz/$$target.dict"; fi; \
		cargo +nightly fuzz run "$$target" "$$found" "fuzz/corpus/$$target" -- $$options || exit 1; \
	done

micromdm: ## run the tests with MDMSTORM_MICROMDM, the path of MicroMDM's program
	@test -n "$(MDMSTORM_MICROMDM)" || { echo "set MDMSTORM_MICROMDM to the path of micromdm"; exit 2; }
	MDMSTORM_MICROMDM="$(MDMSTORM_MICROMDM)" cargo test --test micromdm

nanomdm: ## run the tests with MDMSTORM_NANOMDM, and MDMSTORM_SCEP for those that enrol over micromdm/scep
	@test -n "$(MDMSTORM_NANOMDM)" || { echo "set MDMSTORM_NANOMDM to the path of nanomdm"; exit 2; }
	@test -n "$(MDMSTORM_SCEP)" || echo "MDMSTORM_SCEP is not set to the path of scepserver: tests with it are skipped"
	MDMSTORM_NANOMDM="$(MDMSTORM_NANOMDM)" $(if $(MDMSTORM_SCEP),MDMSTORM_SCEP="$(MDMSTORM_SCEP)") cargo test --test nanomdm

swarm: ## run 500 random scenarios on virtual time; `make test` runs 30
	MDMSTORM_SWARM_SEEDS=500 cargo test --no-default-features --test swarm

gallery: ## rehearse every file of scenarios/gallery, and run it on real sockets
	cargo build --release
	@program="$${CARGO_TARGET_DIR:-target}/release/mdmstorm"; \
	work=$$(mktemp -d) && trap 'rm -rf "$$work"' EXIT; \
	for file in scenarios/gallery/*.toml; do \
		name=$$(basename "$$file" .toml); line=$$(printf '%-26s' "$$name"); \
		for how in rehearse run; do \
			options="--quiet --out $$work/$$name-$$how"; \
			if [ $$how = run ]; then options="$$options --state $$work/state"; fi; \
			begun=$$(date +%s); code=0; \
			"$$program" $$how "$$file" $$options >"$$work/said" 2>&1 || code=$$?; \
			line="$$line  $$how $$(($$(date +%s) - begun)) s"; \
			if [ $$code -ne 0 ]; then \
				cat "$$work/said"; echo "$$line: exit code $$code"; exit 1; \
			fi; \
		done; \
		echo "$$line"; \
	done

golden: ## accept what the golden tests print; a change of behaviour, so say why in CHANGELOG.md
	INSTA_UPDATE=always cargo test
