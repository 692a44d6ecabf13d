# walhouse-storefront: the shop's backend, and the unit tests of its pure parts. Its page: web.mk.

STOREFRONT_SOURCES := main server shop pool request journey track warehouse busy_day shopper
STOREFRONT_OBJECTS := $(STOREFRONT_SOURCES:%=$(BUILD)/obj/storefront/%.o)

PROGRAMS += $(BUILD)/bin/walhouse-storefront

STOREFRONT_LIBS = $(eval STOREFRONT_LIBS := $$(shell $(PKG_CONFIG) --libs libpq jansson libmicrohttpd libcurl))$(STOREFRONT_LIBS)

$(BUILD)/obj/storefront/%.o: CPPFLAGS += $(LIBPQ_CFLAGS) -D_GNU_SOURCE

$(BUILD)/bin/walhouse-storefront: $(STOREFRONT_OBJECTS) $(LIB_OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(STOREFRONT_LIBS) -lpthread

UNIT_TESTS += $(BUILD)/tests/storefront_request_test $(BUILD)/tests/storefront_shopper_test $(BUILD)/tests/storefront_track_test

$(BUILD)/tests/storefront_request_test: $(BUILD)/obj/storefront/request_test.o $(BUILD)/obj/storefront/request.o
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -ljansson -lcmocka

$(BUILD)/tests/storefront_shopper_test: $(BUILD)/obj/storefront/shopper_test.o $(BUILD)/obj/storefront/shopper.o $(BUILD)/obj/storefront/request.o
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -ljansson -lcmocka

$(BUILD)/tests/storefront_track_test: $(BUILD)/obj/storefront/track_test.o $(BUILD)/obj/storefront/track.o
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -lcmocka
