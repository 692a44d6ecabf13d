# The dashboard's page: npm's lock file decides what is installed, vite builds static files that the agent serves.

NPM ?= npm

DASHBOARD_SOURCES := dashboard/index.html dashboard/vite.config.ts dashboard/tsconfig.json \
	$(wildcard dashboard/src/*) $(wildcard dashboard/src/panels/*)

# Of everything that the first look at the page loads, compressed.
DASHBOARD_BYTES_MAX := 150000

WEB += $(BUILD)/web/dashboard/.stamp

dashboard/node_modules/.stamp: dashboard/package.json dashboard/package-lock.json
	cd dashboard && $(NPM) ci --no-audit --no-fund --loglevel=error
	@touch $@

$(BUILD)/web/dashboard/.stamp: dashboard/node_modules/.stamp $(DASHBOARD_SOURCES) tools/pack-page
	cd dashboard && $(NPM) run --silent typecheck && \
		$(NPM) exec --offline -- vite build --logLevel warn --outDir $(abspath $(BUILD))/web/dashboard --emptyOutDir
	@tools/pack-page $(@D) $(DASHBOARD_BYTES_MAX)
	@touch $@

.PHONY: check-dashboard
check-dashboard: dashboard/node_modules/.stamp
	cd dashboard && $(NPM) test --silent
