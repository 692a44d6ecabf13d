# walhouse-warehouse: the ClickHouse engine (libchdb, in CHDB_DIR) behind ClickHouse's HTTP interface.

WAREHOUSE_PARTS := main options http exchange answer request auth body sql result exception buffer engine statement
$(BUILD)/obj/warehouse/%.o: CPPFLAGS += -D_GNU_SOURCE

# A process with AddressSanitizer cannot load libchdb (its initialiser jumps to address 0), so the program is
# built with UBSan alone there; the unit tests have both.
ifdef SANITIZE
warehouse_flags = $(subst =address$(warehouse_comma)undefined,=undefined,$(1))
warehouse_comma := ,
WAREHOUSE_OBJECTS := $(WAREHOUSE_PARTS:%=$(BUILD)/obj-ubsan/warehouse/%.o)
$(BUILD)/obj-ubsan/warehouse/%.o: warehouse/%.c $(BUILD)/.flags
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -D_GNU_SOURCE $(call warehouse_flags,$(CFLAGS)) -MMD -MP -c -o $@ $<
-include $(WAREHOUSE_OBJECTS:.o=.d)
else
warehouse_flags = $(1)
WAREHOUSE_OBJECTS := $(WAREHOUSE_PARTS:%=$(BUILD)/obj/warehouse/%.o)
endif

PROGRAMS += $(BUILD)/bin/walhouse-warehouse
$(BUILD)/bin/walhouse-warehouse: $(WAREHOUSE_OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(call warehouse_flags,$(CFLAGS) $(LDFLAGS)) -o $@ $^ $(CHDB_DIR)/libchdb.so -Wl,-rpath,$(CHDB_DIR) \
		-lmicrohttpd -lz -lzstd -llz4 -lpthread

# Tests of the parts that need no engine.
WAREHOUSE_PURE := sql request auth exception buffer body options
UNIT_TESTS += $(BUILD)/tests/warehouse_sql_test $(BUILD)/tests/warehouse_request_test $(BUILD)/tests/warehouse_body_test
$(BUILD)/tests/warehouse_%_test: $(BUILD)/obj/warehouse/%_test.o $(WAREHOUSE_PURE:%=$(BUILD)/obj/warehouse/%.o)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -lcmocka -lz -lzstd -llz4
