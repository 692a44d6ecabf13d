# walhouse-storefront: the shop's backend, and the unit tests of its pure parts. Its page: web.mk.

STOREFRONT_SOURCES := main server shop pool request
STOREFRONT_OBJECTS := $(STOREFRONT_SOURCES:%=$(BUILD)/obj/storefront/%.o)

PROGRAMS += $(BUILD)/bin/walhouse-storefront

STOREFRONT_LIBS = $(eval STOREFRONT_LIBS := $$(shell $(PKG_CONFIG) --libs libpq jansson libmicrohttpd))$(STOREFRONT_LIBS)

$(BUILD)/obj/storefront/%.o: CPPFLAGS += $(LIBPQ_CFLAGS) -D_GNU_SOURCE

$(BUILD)/bin/walhouse-storefront: $(STOREFRONT_OBJECTS) $(LIB_OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(STOREFRONT_LIBS) -lpthread

UNIT_TESTS += $(BUILD)/tests/storefront_request_test

$(BUILD)/tests/storefront_request_test: $(BUILD)/obj/storefront/request_test.o $(BUILD)/obj/storefront/request.o
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -ljansson -lcmocka
