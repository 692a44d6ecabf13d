# The shop's page: npm's lock file decides what is installed, vite builds static files that the storefront serves.

# Of everything that the first look at the page loads, compressed.
STOREFRONT_BYTES_MAX := 100000

STOREFRONT_WEB_SOURCES := storefront/web/index.html storefront/web/vite.config.ts storefront/web/tsconfig.json \
	$(wildcard storefront/web/src/*)

WEB += $(BUILD)/web/storefront/.stamp

storefront/web/node_modules/.stamp: storefront/web/package.json storefront/web/package-lock.json
	cd storefront/web && $(NPM) ci --no-audit --no-fund --loglevel=error
	@touch $@

$(BUILD)/web/storefront/.stamp: storefront/web/node_modules/.stamp $(STOREFRONT_WEB_SOURCES) tools/pack-page
	cd storefront/web && $(NPM) run --silent typecheck && \
		$(NPM) exec --offline -- vite build --logLevel warn --outDir $(abspath $(BUILD))/web/storefront --emptyOutDir
	@tools/pack-page $(@D) $(STOREFRONT_BYTES_MAX)
	@touch $@
