# Builds, tests and shows everything. Each part's own rules are in its fragment (agent/agent.mk and so on).
#
#   make            programs, web pages and the Postgres extension, into $(BUILD)
#   make demo       the whole line with a storefront and a dashboard, until Ctrl-C (DEMO_SECONDS=n: for n seconds)
#   make check      every test; ends in "N passed, N failed"
#   make check-versions      extension and publisher on PostgreSQL 17 and 18, in chroots (as root)
#   make check-docker        compose.yaml, the images (built by buildah) and a line of them (as root; docs/docker.md)
#   make hunt       random transactions and snapshots for HUNT_SECONDS (600), in search of a row that differs
#   make kill-test  the agent killed at KILLS (300) random moments in a stream of orders, compared row by row
#   make check-valgrind      the extension's tests on a Postgres with assertions, and under valgrind
#   make lint       a second compiler, formatting, shell scripts
#   make bench      latency, throughput and memory on this machine
#   make setup      installs and fetches what is missing (those above do it themselves)
#   make install-extension   installs the extension and its publisher into the Postgres of PG_CONFIG
#
# Variables: BUILD (output folder), CC, SANITIZE=1, PG_CONFIG, WALHOUSE_CACHE (where fetched things are kept).

include tools/versions

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:
SHELL := /bin/bash

BUILD ?= build
PKG_CONFIG ?= pkg-config
PG_CONFIG ?= /usr/lib/postgresql/$(PG_MAJOR)/bin/pg_config
export WALHOUSE_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/walhouse

# ---- compiling ----
WARNINGS := -Wall -Wextra -Werror -Wstrict-prototypes -Wmissing-prototypes -Wshadow -Wpointer-arith -Wvla \
	-Wformat-security -Wwrite-strings -Wundef
CPPFLAGS = -I.
CFLAGS = -std=gnu11 -O2 -g -fstack-protector-strong $(WARNINGS)
LDFLAGS =
ifdef SANITIZE
CFLAGS += -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
LDFLAGS += -fsanitize=address,undefined
endif

# The pinned libraries, where tools/setup found the system's too old.
RDKAFKA_DIR = $(WALHOUSE_CACHE)/librdkafka-$(RDKAFKA_VERSION)
rdkafka_config = PKG_CONFIG_PATH="$(RDKAFKA_DIR)/lib/pkgconfig" $(PKG_CONFIG)
RDKAFKA_CFLAGS = $(eval RDKAFKA_CFLAGS := $$(shell $(rdkafka_config) --cflags rdkafka))$(RDKAFKA_CFLAGS)
RDKAFKA_LIBS = $(eval RDKAFKA_LIBS := $$(shell $(rdkafka_config) --libs rdkafka))$(RDKAFKA_LIBS)
LIBPQ_CFLAGS = $(eval LIBPQ_CFLAGS := $$(shell $(PKG_CONFIG) --cflags libpq))$(LIBPQ_CFLAGS)
LIBPQ_LIBS = $(eval LIBPQ_LIBS := $$(shell $(PKG_CONFIG) --libs libpq))$(LIBPQ_LIBS)
CHDB_DIR = $(WALHOUSE_CACHE)/chdb-$(CHDB_VERSION)
NODE_DIR = $(WALHOUSE_CACHE)/node-$(NODE_VERSION)
ifneq ($(wildcard $(NODE_DIR)/bin/node),)
export PATH := $(NODE_DIR)/bin:$(PATH)
endif
NPM ?= npm
export npm_config_update_notifier := false

PROGRAMS :=
UNIT_TESTS :=
WEB :=

-include lib/lib.mk
-include agent/agent.mk
-include warehouse/warehouse.mk
-include storefront/storefront.mk
-include storefront/web.mk
-include extension/publisher/publisher.mk
-include dashboard/dashboard.mk
-include tests/unit.mk

.PHONY: all programs web extension tests install-extension check check-docker check-versions check-valgrind demo bench hunt kill-test lint setup clean list-unit-tests FORCE

# In a make of its own, which sees what setup has just fetched.
all: setup
	@$(MAKE) --no-print-directory programs web extension
programs: $(PROGRAMS)
web: $(WEB)
tests: $(UNIT_TESTS)
list-unit-tests:
	@printf '%s\n' $(UNIT_TESTS)

# Objects are made again when the compiler or its flags change.
$(BUILD)/.flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(CC) $(CPPFLAGS) $(CFLAGS) $(RDKAFKA_DIR)' | cmp -s - $@ || \
		printf '%s\n' '$(CC) $(CPPFLAGS) $(CFLAGS) $(RDKAFKA_DIR)' >$@

$(BUILD)/obj/%.o: %.c $(BUILD)/.flags
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

-include $(shell [ -d $(BUILD)/obj ] && find $(BUILD)/obj -name '*.d')

# ---- the Postgres extension: PGXS, out of the tree ----
PG_BUILD = $(BUILD)/pg$(PG_MAJOR)
# Postgres's own flags are gcc's; another compiler may not know them all. A server that was built in its own source
# folder does not find our sources from here by itself: VPATH.
PG_MAKE = $(MAKE) --no-print-directory -C $(PG_BUILD) -f $(CURDIR)/extension/Makefile PG_CONFIG=$(PG_CONFIG) \
	VPATH=$(CURDIR)/extension \
	autodepend=yes CC='$(CC)' COPT='$(if $(findstring clang,$(CC)),-Wno-unknown-warning-option -Wno-ignored-optimization-argument -Wno-ignored-attributes)'

extension:
	@mkdir -p $(PG_BUILD)/common
	@echo '$(PG_CONFIG) $(CC)' | cmp -s - $(PG_BUILD)/.compiler || rm -f $(PG_BUILD)/*.o $(PG_BUILD)/common/*.o
	@echo '$(PG_CONFIG) $(CC)' >$(PG_BUILD)/.compiler
	$(PG_MAKE) all

install-extension: extension $(filter %/walhouse-publisher,$(PROGRAMS))
	$(PG_MAKE) install
	install -m 755 $(filter %/walhouse-publisher,$(PROGRAMS)) "$(DESTDIR)$$($(PG_CONFIG) --bindir)/"

# ---- what people run ----
setup:
	@tools/setup

check:
	tests/run

check-docker:
	tests/docker/run

check-versions:
	tests/versions/run

check-valgrind:
	tests/valgrind/run

demo:
	tools/demo

lint:
	tools/lint

bench: all
	@tools/setup check
	tools/install-extension
	tests/bench/run

hunt: all
	@tools/setup check
	@$(MAKE) --no-print-directory tests
	tools/install-extension
	HUNT_SECONDS=$${HUNT_SECONDS:-600} /usr/bin/python3 -m pytest -q -s -p no:cacheprovider tests/e2e/test_hunt.py

kill-test: all
	@tools/setup check
	@$(MAKE) --no-print-directory tests
	tools/install-extension
	KILLS=$${KILLS:-300} /usr/bin/python3 -m pytest -q -s -p no:cacheprovider tests/e2e/test_kills.py

clean:
	rm -rf build build-asan build-clang build-gcc build-valgrind
