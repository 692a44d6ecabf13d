# walhouse-agent and the unit tests of its pure rooms.

AGENT_SOURCES := $(patsubst agent/%.c,%,$(filter-out %_test.c,$(wildcard agent/*.c)))
AGENT_COMMON := wire schema lease event rowbinary
AGENT_COMMON_OBJECTS := $(AGENT_COMMON:%=$(BUILD)/obj/extension/common/%.o)
AGENT_OBJECTS := $(AGENT_SOURCES:%=$(BUILD)/obj/agent/%.o)

PROGRAMS += $(BUILD)/bin/walhouse-agent $(BUILD)/man/walhouse-agent.1

AGENT_LIBS = $(eval AGENT_LIBS := $$(shell $(PKG_CONFIG) --libs libcurl jansson libmicrohttpd liblz4 libzstd))$(AGENT_LIBS)

CRYPTO_LIBS := -lcrypto
# What a schema becomes: needed wherever the registry is.
REGISTRY_OBJECTS := $(patsubst %,$(BUILD)/obj/agent/%.o, \
	expression \
	filter \
	mask \
	nearest \
	registry \
	rowmap \
	ruled \
	rules \
	scalar \
	shape \
	shape_layout \
	target \
	text \
	) $(BUILD)/obj/lib/secret_file.o

BATCH_OBJECTS := $(BUILD)/obj/agent/batch.o $(BUILD)/obj/agent/batch_event.o

# Others' headers are not held to our warnings.
$(BUILD)/obj/agent/%.o: CPPFLAGS += $(patsubst -I%,-isystem %,$(RDKAFKA_CFLAGS)) -D_GNU_SOURCE

$(BUILD)/bin/walhouse-agent: $(AGENT_OBJECTS) $(AGENT_COMMON_OBJECTS) $(LIB_OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(AGENT_LIBS) $(RDKAFKA_LIBS) $(CRYPTO_LIBS) -lpthread

$(BUILD)/man/walhouse-agent.1: $(BUILD)/bin/walhouse-agent
	@mkdir -p $(@D)
	$< --man >$@

# Puts events into Kafka as the publisher would, for tests of the agent alone.
AGENT_PRODUCE := $(BUILD)/tests/produce_events
tests: $(AGENT_PRODUCE)
$(BUILD)/obj/tests/tools/%.o: CPPFLAGS += $(patsubst -I%,-isystem %,$(RDKAFKA_CFLAGS)) -D_GNU_SOURCE
$(AGENT_PRODUCE): $(BUILD)/obj/tests/tools/produce_events.o $(AGENT_COMMON_OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(RDKAFKA_LIBS)

# Asks the source as the agent does, for tests of what comes of it.
AGENT_ASK := $(BUILD)/tests/ask_source
tests: $(AGENT_ASK)
$(AGENT_ASK): $(BUILD)/obj/tests/tools/ask_source.o $(filter-out %/main.o,$(AGENT_OBJECTS)) $(AGENT_COMMON_OBJECTS) $(LIB_OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(AGENT_LIBS) $(RDKAFKA_LIBS) -lpthread

# The HTTP client alone, without the agent's settings, for servers that are too old for them.
AGENT_CLICKHOUSE := $(BUILD)/tests/ask_clickhouse
tests: $(AGENT_CLICKHOUSE)
$(AGENT_CLICKHOUSE): $(BUILD)/obj/tests/tools/ask_clickhouse.o $(filter-out %/main.o %/clickhouse_settings.o,$(AGENT_OBJECTS)) \
		$(AGENT_COMMON_OBJECTS) $(LIB_OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(AGENT_LIBS) $(RDKAFKA_LIBS) -lpthread

# Makes Kafka forget, for tests of what the agent makes of that.
AGENT_FORGET := $(BUILD)/tests/kafka_forget
tests: $(AGENT_FORGET)
$(AGENT_FORGET): $(BUILD)/obj/tests/tools/kafka_forget.o
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(RDKAFKA_LIBS)

# Pure rooms.
UNIT_TESTS += $(BUILD)/tests/agent_plan_test $(BUILD)/tests/agent_catalog_test
UNIT_TESTS += $(BUILD)/tests/agent_config_test $(BUILD)/tests/agent_budget_test $(BUILD)/tests/agent_batch_test \
	$(BUILD)/tests/agent_truncate_test $(BUILD)/tests/agent_table_state_test $(BUILD)/tests/agent_metrics_test $(BUILD)/tests/agent_filter_test \
	$(BUILD)/tests/agent_rules_test $(BUILD)/tests/agent_letter_test $(BUILD)/tests/agent_rowtext_test \
	$(BUILD)/tests/agent_rowmap_test $(BUILD)/tests/agent_shape_test $(BUILD)/tests/agent_ruled_test
UNIT_TESTS += $(BUILD)/tests/agent_clickhouse_test $(BUILD)/tests/agent_cluster_test

$(BUILD)/tests/agent_config_test: $(BUILD)/obj/agent/config_test.o $(BUILD)/obj/agent/config.o $(BUILD)/obj/agent/config_help.o \
		$(BUILD)/obj/agent/nearest.o $(BUILD)/obj/agent/rules.o $(BUILD)/obj/lib/secret_file.o $(BUILD)/obj/lib/ini.o $(BUILD)/obj/lib/log.o \
		$(BUILD)/obj/lib/log_limit.o $(BUILD)/obj/agent/endpoints.o $(BUILD)/obj/agent/compress.o
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -llz4 -lzstd -lcmocka

$(BUILD)/tests/agent_cluster_test: $(BUILD)/obj/agent/cluster_test.o $(BUILD)/obj/agent/cluster.o $(BUILD)/obj/agent/text.o
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -lcmocka

$(BUILD)/tests/agent_clickhouse_test: $(BUILD)/obj/agent/clickhouse_test.o $(BUILD)/obj/agent/clickhouse_fault.o \
		$(BUILD)/obj/agent/endpoints.o $(BUILD)/obj/agent/compress.o
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -llz4 -lzstd -lcmocka

$(BUILD)/tests/agent_table_state_test: $(BUILD)/obj/agent/table_state_test.o $(BUILD)/obj/agent/table_state.o
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -lpthread -lcmocka

$(BUILD)/tests/agent_metrics_test: $(BUILD)/obj/agent/metrics_test.o $(BUILD)/obj/agent/metrics.o $(BUILD)/obj/agent/metrics_render.o \
		$(BUILD)/obj/agent/labels.o $(BUILD)/obj/agent/lag_times.o $(BUILD)/obj/agent/table_state.o $(BUILD)/obj/agent/text.o \
		$(BUILD)/obj/agent/source_news.o
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -ljansson -lpthread -lcmocka

UNIT_TESTS += $(BUILD)/tests/agent_source_news_test
$(BUILD)/tests/agent_source_news_test: $(BUILD)/obj/agent/source_news_test.o $(BUILD)/obj/agent/source_news.o
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -ljansson -lpthread -lcmocka

$(BUILD)/tests/agent_budget_test: $(BUILD)/obj/agent/budget_test.o $(BUILD)/obj/agent/budget.o
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -lcmocka

$(BUILD)/tests/agent_batch_test: $(BUILD)/obj/agent/batch_test.o $(BATCH_OBJECTS) $(REGISTRY_OBJECTS) \
		$(BUILD)/obj/agent/ddl.o $(BUILD)/obj/tests/unit/vectors.o $(AGENT_COMMON_OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(CRYPTO_LIBS) -ljansson -lpthread -lcmocka

UNIT_TESTS += $(BUILD)/tests/agent_breaker_test
$(BUILD)/tests/agent_breaker_test: $(BUILD)/obj/agent/breaker_test.o $(BUILD)/obj/agent/breaker.o $(BATCH_OBJECTS) \
		$(BUILD)/obj/agent/table_state.o $(BUILD)/obj/lib/log.o $(BUILD)/obj/lib/log_limit.o $(REGISTRY_OBJECTS) \
		$(AGENT_COMMON_OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(CRYPTO_LIBS) -ljansson -lpthread -lcmocka

$(BUILD)/tests/agent_truncate_test: $(BUILD)/obj/agent/truncate_test.o $(BUILD)/obj/agent/truncate.o $(REGISTRY_OBJECTS) \
		$(BUILD)/obj/tests/unit/vectors.o $(AGENT_COMMON_OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(CRYPTO_LIBS) -lpthread -lcmocka

$(BUILD)/tests/agent_filter_test: $(BUILD)/obj/agent/filter_test.o $(BUILD)/obj/agent/filter.o $(BUILD)/obj/agent/scalar.o \
		$(AGENT_COMMON_OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -lcmocka

$(BUILD)/tests/agent_rules_test: $(BUILD)/obj/agent/rules_test.o $(BUILD)/obj/agent/rules.o $(BUILD)/obj/lib/secret_file.o $(BUILD)/obj/agent/nearest.o \
		$(AGENT_COMMON_OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -lcmocka

$(BUILD)/tests/agent_letter_test: $(BUILD)/obj/agent/letter_test.o $(BUILD)/obj/agent/letter.o $(AGENT_COMMON_OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -lcmocka

UNIT_TESTS += $(BUILD)/tests/agent_lease_test
$(BUILD)/tests/agent_lease_test: $(BUILD)/obj/agent/lease_test.o $(BUILD)/obj/agent/lease.o $(BUILD)/obj/lib/log.o \
		$(BUILD)/obj/lib/log_limit.o $(AGENT_COMMON_OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -lpthread -lcmocka

$(BUILD)/tests/agent_rowtext_test: $(BUILD)/obj/agent/rowtext_test.o $(BUILD)/obj/agent/rowtext.o $(BUILD)/obj/agent/scalar.o \
		$(BUILD)/obj/agent/text.o $(AGENT_COMMON_OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -lcmocka

$(BUILD)/tests/agent_rowmap_test: $(BUILD)/obj/agent/rowmap_test.o $(BUILD)/obj/agent/rowmap.o $(BUILD)/obj/agent/mask.o \
		$(BUILD)/obj/agent/filter.o $(BUILD)/obj/agent/scalar.o $(BUILD)/obj/agent/expression.o $(BUILD)/obj/agent/text.o \
		$(AGENT_COMMON_OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(CRYPTO_LIBS) -lcmocka

$(BUILD)/tests/agent_ruled_test: $(BUILD)/obj/agent/ruled_test.o $(BATCH_OBJECTS) $(REGISTRY_OBJECTS) \
		$(BUILD)/obj/tests/unit/vectors.o $(AGENT_COMMON_OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(CRYPTO_LIBS) -lpthread -lcmocka

$(BUILD)/tests/agent_shape_test: $(BUILD)/obj/agent/shape_test.o $(BUILD)/obj/agent/shape.o $(BUILD)/obj/agent/shape_layout.o \
		$(BUILD)/obj/agent/rules.o $(BUILD)/obj/lib/secret_file.o $(BUILD)/obj/agent/nearest.o $(BUILD)/obj/agent/rowmap.o $(BUILD)/obj/agent/mask.o $(BUILD)/obj/agent/filter.o \
		$(BUILD)/obj/agent/scalar.o $(BUILD)/obj/agent/expression.o $(BUILD)/obj/agent/text.o $(AGENT_COMMON_OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(CRYPTO_LIBS) -lcmocka

UNIT_TESTS += $(BUILD)/tests/agent_offsets_test
$(BUILD)/tests/agent_offsets_test: $(BUILD)/obj/agent/offsets_test.o $(BUILD)/obj/agent/offsets.o $(BUILD)/obj/agent/text.o
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -lcmocka

$(BUILD)/tests/agent_plan_test: $(BUILD)/obj/agent/plan_test.o $(BUILD)/obj/agent/plan.o $(BUILD)/obj/agent/typejoin.o \
		$(BUILD)/obj/agent/text.o
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -lcmocka

$(BUILD)/tests/agent_catalog_test: $(BUILD)/obj/agent/catalog_test.o $(BUILD)/obj/agent/catalog.o $(BUILD)/obj/agent/text.o \
		$(AGENT_COMMON_OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -ljansson -lcmocka
