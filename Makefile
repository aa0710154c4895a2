# The README's two commands are `make demo` and `make test`; `make check` is for daily work.

.PHONY: demo test check bench bench-quick setup deb arm64 apt-repo clean
.NOTPARALLEL:

# Shows a failover and a failback of two nodes with real Heartbeat. Needs root.
demo: setup deb
	tests/cluster/demo

# Runs everything. Needs root.
test: setup check deb
	tests/run

# The quick part: no root, no cluster.
check:
	tests/check

# Measures calls, zones, failovers and builds, and writes docs/performance.md. Needs root and a quiet machine.
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

# Builds target/arm64/deb/elastic-ip_VERSION_arm64.deb in a Debian of its own, and runs it by qemu. Needs root.
arm64: setup
	debian/build-deb arm64
	target/venv/bin/python -m pytest -v -p no:cacheprovider tests/arm64

# Makes target/apt, a signed apt repository of the package, to be found by the nodes at URL. With ALSO=arm64
# there is one for arm64 as well.
URL = file:/srv/elastic-ip
apt-repo: setup deb
	for architecture in $(ALSO); do debian/build-deb $$architecture || exit; done
	debian/apt-repository target/apt $(URL) $(foreach folder,target $(ALSO:%=target/%),\
		$(folder)/deb/elastic-ip_$$(dpkg-parsechangelog -S Version)_*.deb)

clean:
	cargo clean
