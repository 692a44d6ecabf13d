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

$(BUILD)/web/dashboard/.stamp: dashboard/node_modules/.stamp $(DASHBOARD_SOURCES)
	cd dashboard && $(NPM) run --silent typecheck && \
		$(NPM) exec --offline -- vite build --logLevel warn --outDir $(abspath $(BUILD))/web/dashboard --emptyOutDir
	@size=$$(find $(@D) -name '*.js' -o -name '*.css' -o -name '*.html' | xargs cat | gzip -c | wc -c); \
		[ $$size -le $(DASHBOARD_BYTES_MAX) ] || \
		{ echo "the dashboard's page has $$size bytes, compressed; its budget is $(DASHBOARD_BYTES_MAX)" >&2; exit 1; }
	@touch $@

.PHONY: check-dashboard
check-dashboard: dashboard/node_modules/.stamp
	cd dashboard && $(NPM) test --silent
