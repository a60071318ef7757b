# Every recipe works with a Rust toolchain alone; what is missing beyond that is skipped, and said.

.DEFAULT_GOAL := help
.PHONY: help run test check lint bench nanomdm swarm gallery golden

help: ## list what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 10

run: ## run the quickstart: 1,000 devices against the bundled reference server
	cargo run --release -- run scenarios/quickstart.toml

test: ## run every test, and check that the core builds without anything that does I/O
	cargo check --lib --no-default-features
	cargo test --no-fail-fast

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

nanomdm: ## run the tests with MDMSTORM_NANOMDM, the path of NanoMDM's program
	@test -n "$(MDMSTORM_NANOMDM)" || { echo "set MDMSTORM_NANOMDM to the path of nanomdm"; exit 2; }
	MDMSTORM_NANOMDM="$(MDMSTORM_NANOMDM)" cargo test

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
