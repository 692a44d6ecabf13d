# walhouse-warehouse: the ClickHouse engine (libchdb, in CHDB_DIR) behind ClickHouse's HTTP interface.

WAREHOUSE_PARTS := main options http exchange request auth body sql result exception buffer engine
WAREHOUSE_OBJECTS := $(WAREHOUSE_PARTS:%=$(BUILD)/obj/warehouse/%.o)

$(BUILD)/obj/warehouse/%.o: CPPFLAGS += -D_GNU_SOURCE

PROGRAMS += $(BUILD)/bin/walhouse-warehouse
$(BUILD)/bin/walhouse-warehouse: $(WAREHOUSE_OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(CHDB_DIR)/libchdb.so -Wl,-rpath,$(CHDB_DIR) -lmicrohttpd -lz -lpthread

# Tests of the parts that need no engine.
WAREHOUSE_PURE := sql request auth exception buffer body options
UNIT_TESTS += $(BUILD)/tests/warehouse_sql_test $(BUILD)/tests/warehouse_request_test $(BUILD)/tests/warehouse_body_test
$(BUILD)/tests/warehouse_%_test: $(BUILD)/obj/warehouse/%_test.o $(WAREHOUSE_PURE:%=$(BUILD)/obj/warehouse/%.o)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -lcmocka -lz
