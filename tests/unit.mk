# Unit tests of what both sides share. Golden bytes: tests/vectors/. Every test runs in the root of the tree.

COMMON_DIR := extension/common
COMMON_TESTS := wire schema lease event chunk rowbinary ack_window
UNIT_TESTS += $(COMMON_TESTS:%=$(BUILD)/tests/common_%_test)

$(COMMON_TESTS:%=$(BUILD)/tests/common_%_test): $(BUILD)/tests/common_%_test: \
		$(BUILD)/obj/$(COMMON_DIR)/%_test.o $(BUILD)/obj/tests/unit/vectors.o $(COMMON_OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -lcmocka
