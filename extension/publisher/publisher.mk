# walhouse-publisher: one program of plain C, and its unit tests.

PUBLISHER_DIR := extension/publisher
PUBLISHER_SOURCES := main options message report pipeline flow walreader progress compose produce properties \
	schema_topic sql_connection statistics control letter dead_letters
PUBLISHER_SOURCES += feed snapshot snapshot_worker snapshot_scan snapshot_task
PUBLISHER_SOURCES += slot position lease guard topic_reader requests tables pipeline_kafka pipeline_due produce_topics
COMMON_SOURCES := wire schema lease event chunk rowbinary ack_window
COMMON_OBJECTS := $(COMMON_SOURCES:%=$(BUILD)/obj/extension/common/%.o)
PUBLISHER_OBJECTS := $(PUBLISHER_SOURCES:%=$(BUILD)/obj/$(PUBLISHER_DIR)/%.o)

PROGRAMS += $(BUILD)/bin/walhouse-publisher

# Others' headers are not held to our warnings.
$(BUILD)/obj/$(PUBLISHER_DIR)/produce.o $(BUILD)/obj/$(PUBLISHER_DIR)/produce_topics.o \
		$(BUILD)/obj/$(PUBLISHER_DIR)/produce_test.o $(BUILD)/obj/$(PUBLISHER_DIR)/topic_reader.o: CPPFLAGS += $(patsubst -I%,-isystem %,$(RDKAFKA_CFLAGS))
$(BUILD)/obj/$(PUBLISHER_DIR)/%.o: CPPFLAGS += $(LIBPQ_CFLAGS)

$(BUILD)/bin/walhouse-publisher: $(PUBLISHER_OBJECTS) $(COMMON_OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBPQ_LIBS) $(RDKAFKA_LIBS)

# Pure parts, driven by simulations and golden bytes.

PUBLISHER_TESTS := progress compose options control properties letter snapshot_task position lease slot tables
PUBLISHER_TESTS += produce
UNIT_TESTS += $(PUBLISHER_TESTS:%=$(BUILD)/tests/publisher_%_test)

$(BUILD)/tests/publisher_position_test $(BUILD)/tests/publisher_slot_test: $(BUILD)/obj/$(PUBLISHER_DIR)/control.o
$(BUILD)/tests/publisher_slot_test: $(BUILD)/obj/$(PUBLISHER_DIR)/position.o
$(BUILD)/tests/publisher_produce_test: $(BUILD)/obj/$(PUBLISHER_DIR)/produce_topics.o
$(BUILD)/tests/publisher_produce_test: $(BUILD)/obj/$(PUBLISHER_DIR)/properties.o
$(BUILD)/tests/publisher_produce_test: PUBLISHER_TEST_LIBS = $(RDKAFKA_LIBS)
$(BUILD)/tests/publisher_%_test: $(BUILD)/obj/$(PUBLISHER_DIR)/%_test.o $(BUILD)/obj/$(PUBLISHER_DIR)/%.o \
		$(BUILD)/obj/$(PUBLISHER_DIR)/message.o $(BUILD)/obj/tests/unit/vectors.o $(COMMON_OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(PUBLISHER_TEST_LIBS) -lcmocka
.PRECIOUS: $(BUILD)/obj/$(PUBLISHER_DIR)/%_test.o

# For tests of what the publisher does when a topic goes.
DELETE_TOPIC := $(BUILD)/tests/delete_topic
tests: $(DELETE_TOPIC)
$(DELETE_TOPIC): $(BUILD)/obj/tests/tools/delete_topic.o
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(RDKAFKA_LIBS)
