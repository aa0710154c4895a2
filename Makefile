# The README's two commands are `make demo` and `make test`; `make check` is for daily work.

.PHONY: demo test check bench bench-quick setup deb apt-repo clean
.NOTPARALLEL:

# Shows a failover and a failback of two nodes with real Heartbeat. Needs root.
demo: setup deb
	tests/cluster/demo

# Runs everything. Needs root.
test: setup check deb
	tests/run

# The quick part: no root, no cluster.
check:
	cargo fmt --check
	cargo clippy --all-targets --locked --quiet -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --no-deps --locked --quiet
	cargo test --locked --quiet
	tests/scripts

# Measures calls, zones and failovers, and writes docs/performance.md. Needs root and a quiet machine.
bench: setup deb
	bench/setup
	bench/run

# Measures little, and fails where the program is slower than it should be beside something else. Needs root.
bench-quick: setup deb
	bench/setup
	bench/run --quick

# Installs what building and testing need, with apt and pip. Needs root.
setup:
	tests/setup

# Builds target/deb/elastic-ip_VERSION_ARCHITECTURE.deb.
deb:
	debian/build-deb

# Makes target/apt, a signed apt repository of the package, to be found by the nodes at URL.
URL = file:/srv/elastic-ip
apt-repo: setup deb
	debian/apt-repository target/apt $(URL) target/deb/elastic-ip_$$(dpkg-parsechangelog -S Version)_*.deb

clean:
	cargo clean
