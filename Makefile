# SPDX-License-Identifier: GPL-2.0
#
# The commands of this project. Each target has its line of help behind "##".
#
#   FOLIO_RUNS_CACHE  kernel source, git tree and builds (~/.cache/folio-runs)
#   LINUX_SRC         a Linux 7.3.y tree or tarball, instead of Debian's
#   QEMU_SRC          a QEMU tree or tarball, instead of Debian's

BUILD := build
PROGRAMS := $(BUILD)/tests/kernel/regbuf_run
BENCH_PROGRAMS := $(BUILD)/tests/kernel/file_table \
	$(patsubst %,$(BUILD)/tests/kernel/%_bench,pin reg small hold place count io proc)

.DEFAULT_GOAL := help
# The parts run in an order, and each uses all CPUs by itself.
.NOTPARALLEL:

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install the Debian packages that are missing (root)
	@kernel/tools/setup

tree: setup ## kernel/ as a git tree, to edit and commit in
	@kernel/tools/tree make

series: ## the commits of that tree back into kernel/
	@kernel/tools/tree import

export: tree ## the series as mails with a cover letter, in build/series
	@rm -rf $(BUILD)/series
	@kernel/tools/tree export $(BUILD)/series

run: $(BUILD)/guest.img ## build stock and patched, boot both, register buffers, compare: a table
	@stock=$$(kernel/tools/build stock run) && \
	patched=$$(kernel/tools/build patched run) && \
	tests/bench/run-table --stock "$$stock" --patched "$$patched" --image $< $(RUN_ARGS)

readme: RUN_ARGS += --readme tests/bench/README.md
readme: run ## make run, and its table into tests/bench/README.md

# The configurations that the parts of a bench need
BENCH_PARTS = $(or $(BENCH),pin atomics files)
BENCH_CONFIGS = run $(if $(filter pin,$(BENCH_PARTS)),irqsoff) \
	$(if $(filter atomics,$(BENCH_PARTS)),pageref) $(if $(filter files,$(BENCH_PARTS)),files)
# $(1) configurations; $(2) the script. One build of each kernel and one image for both.
BENCH_RUN = set -e; for config in $(1); do for variant in stock patched; do \
		kernel=$$(kernel/tools/build $$variant $$config); \
		args="$$args --$$variant$$([ $$config = run ] || echo -$$config) $$kernel"; \
	done; done; $(2) $$args --image $(BUILD)/bench.img

bench: $(BUILD)/bench.img ## measure stock and patched: tables, pictures (BENCH="pin register place ...")
	@$(call BENCH_RUN,$(BENCH_CONFIGS),tests/bench/bench) --readme tests/bench/README.md $(BENCH_ARGS) $(BENCH)

bench-redraw: setup ## tables and pictures again, of the results that are there
	@tests/bench/bench --redraw --readme tests/bench/README.md >/dev/null

bench-check: $(BUILD)/bench.img ## fail if a count is more than 1 % above the committed results, or a bound is no more met
	@$(call BENCH_RUN,$(BENCH_CONFIGS),tests/bench/bench) --check $(BENCH_ARGS) $(BENCH)

bench-pin: $(BUILD)/bench.img ## pinning alone; fail if a bound is no more met
	@$(call BENCH_RUN,run irqsoff,tests/bench/pin-table) $(BENCH_ARGS)

bench-debian: $(BUILD)/bench.img ## headline figures in Debian's own configuration, too: within 3 %?
	@$(call BENCH_RUN,run debian,tests/bench/compare-configs) $(BENCH_ARGS)

bench-users: $(BUILD)/users.img ## zero-copy receive, RDMA and ublk: pinning a GiB, stock and patched
	@stock=$$(kernel/tools/build stock users) && patched=$$(kernel/tools/build patched users) && \
	tests/bench/users --stock "$$stock" --patched "$$patched" --image $< $(BENCH_ARGS)

bench-native: programs ## this machine's own kernel by the clock, into OUTPUT=FILE (root)
	@tests/bench/uring-regbuf-bench run --programs $(BUILD)/tests/kernel $(BENCH_ARGS) \
		$(or $(OUTPUT),$(BUILD)/bench-native.json)

# A guest takes up to 6 GiB.
JOBS ?= $(if $(filter 1,$(shell nproc)),1,2)

check: tree programs ## all checks, two at once (JOBS=1): lint, tools, KUnit, programs in the guest
	@tests/check --jobs $(JOBS) $(CHECKS)

lint: tree ## the checks of our own files
	@tests/check 'lint-*'

kunit: tree ## the KUnit suites, at boot of the patched kernel
	@tests/check kunit

check-series: tree ## every commit builds, without warnings; each group boots, and does its part
	@kernel/tools/tree check
	@tests/check --table tests/tables/series --results $(BUILD)/groups $(CHECKS)

# mkimage itself sees whether anything has changed.
$(BUILD)/guest.img: tree programs
	@tests/vm/mkimage -o $@ $(PROGRAMS)

$(BUILD)/bench.img: tree programs
	@tests/kernel/mkext4 $(BUILD)/ext4.img 64M
	@PATH=$$PATH:/usr/sbin; tests/vm/mkimage -o $@ $(BENCH_PROGRAMS) fio $(BUILD)/ext4.img:/ext4.img \
		$(foreach tool,dmsetup mke2fs mkfs.xfs,"$$(command -v $(tool)):/opt/$(tool)")

$(BUILD)/users.img: tree programs
	@tests/vm/mkimage -o $@ $(patsubst %,$(BUILD)/tests/kernel/%,zcrx_area rdma_mr ublk_shmem)

programs: tree
	@$(MAKE) --no-print-directory -s -C tests/kernel O=$(abspath $(BUILD))/tests/kernel all place_bench \
		zcrx_area

check-arches: tree ## other architectures: all that the series touches, and KUnit
	@kernel/tools/setup arches
	@tests/check --table tests/tables/arches --results $(BUILD)/arches $(CHECKS)

check-fio: tree ## all tests of the fio engine: here, with a sanitizer, in both guests
	@tests/check --table tests/tables/fio --results $(BUILD)/fio $(CHECKS)

qemu: setup ## QEMU with registered buffers: tools and an emulator, in a Debian 13 root (root)
	@qemu/tools/build

qemu-tree: setup ## qemu/ as a git tree, to edit and commit in
	@qemu/tools/tree make

qemu-series: ## the commits of that tree back into qemu/
	@qemu/tools/tree import

check-qemu: tree ## QEMU: its own tests, tools, devices, a VM, and both guests
	@tests/check --table tests/tables/qemu --results $(BUILD)/qemu $(CHECKS)

compare-fio: tree ## jobs of the fio engine on both kernels: tables, pictures in fio-engines/results
	@stock=$$(kernel/tools/build stock run) && \
	patched=$$(kernel/tools/build patched run) && \
	$(MAKE) --no-print-directory -C fio-engines compare STOCK="$$stock" PATCHED="$$patched"

check-ext: tree ## all tests of liburing-ext: here, with sanitizers, in both guests
	@tests/check --table tests/tables/ext --results $(BUILD)/ext $(CHECKS)

packages: tree ## Debian 13 packages of kernel, library, fio engine, bench (root; hours the first time)
	@packages/make $(PACKAGES_ARGS) $(BUILD)/packages

run-packages: programs ## make run with Debian's kernel package and this one's (after make packages)
	@packages/run $(RUN_ARGS)

check-packages: setup ## install, use, upgrade and purge them in a Debian 13 system
	@tests/suites/packages $(BUILD)/packages

check-packages-same: tree ## build them again from nothing: are they the same? (after make packages)
	@tests/suites/packages-same $(BUILD)/packages $(PACKAGES_ARGS)

check-users: tree ## RDMA and ublk with what distributions have to try them (after make packages)
	@tests/suites/users $(BUILD)/packages

check-liburing: tree ## liburing's own tests, the newest, on both kernels: what stock passes must pass
	@tests/suites/liburing $(CHECKS)

check-long: tree ## the longest buffers that there are: 1 TiB and 64 TiB, with I/O
	@tests/suites/regbuf-long

check-fuzz-pure: setup ## fuzz the pure code in user space, TIME=600 seconds for each target
	@tests/fuzz-pure/run --time $(or $(TIME),600) $(TARGETS)

check-races: tree ## pinning against all that changes page tables, 30 s for each case
	@tests/suites/races

check-races-red: tree ## weaken GUP-fast in many ways: do the race cases see it?
	@tests/suites/races-red

check-kunit-red: tree ## plant faults in mm, one after the other: do the KUnit cases see them?
	@tests/suites/kunit-red

check-dio-red: tree ## plant faults in direct I/O, one after the other: do its programs see them?
	@tests/suites/program-red dio

check-users-red: tree ## plant faults in the other users of runs: do their programs see them?
	@tests/suites/program-red users

check-dio-stack: tree ## direct I/O through loop, device mapper and md, and to XFS, with fio
	@tests/suites/dio-stack

check-faults: tree ## every allocation and copy fails once, all sizes
	@tests/suites/faults

check-debug: tree ## KUnit and guest programs on kernels with KASAN & co., and with KCSAN
	@tests/check --table tests/tables/debug --results $(BUILD)/debug $(CHECKS)

check-fuzz: tree ## random operations against a model, on the debug kernel (TIME=10m, FUZZ="--seed N")
	@tests/suites/fuzz --time $(or $(TIME),10m) $(FUZZ)

check-stress: tree ## buffers under memory pressure, in control groups, killed ..., 40 s for each case
	@tests/suites/stress

clean: ## remove build/ (the cache stays)
	rm -rf $(BUILD)

.PHONY: help setup tree series export run readme bench bench-redraw bench-check \
	bench-pin bench-debian bench-users bench-native check lint kunit check-series check-arches check-fio \
	compare-fio qemu qemu-tree qemu-series check-qemu check-ext check-liburing check-long \
	check-fuzz-pure check-races check-races-red check-kunit-red check-dio-red check-users-red \
	check-dio-stack check-faults \
	check-debug check-fuzz check-stress packages run-packages check-packages check-packages-same \
	check-users clean programs
