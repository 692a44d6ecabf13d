# What our plain programs share.

LIB_OBJECTS := $(BUILD)/obj/lib/log.o $(BUILD)/obj/lib/log_limit.o $(BUILD)/obj/lib/httpd.o $(BUILD)/obj/lib/httpd_static.o $(BUILD)/obj/lib/httpd_stream.o \
	$(BUILD)/obj/lib/ini.o $(BUILD)/obj/lib/secret_file.o

$(BUILD)/obj/lib/%.o: CPPFLAGS += -D_GNU_SOURCE

UNIT_TESTS += $(BUILD)/tests/lib_httpd_static_test $(BUILD)/tests/lib_ini_test $(BUILD)/tests/lib_log_test $(BUILD)/tests/lib_secret_file_test

$(BUILD)/tests/lib_httpd_static_test: $(BUILD)/obj/lib/httpd_static_test.o $(BUILD)/obj/lib/httpd_static.o
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -lmicrohttpd -lcmocka

$(BUILD)/tests/lib_ini_test: $(BUILD)/obj/lib/ini_test.o $(BUILD)/obj/lib/ini.o
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -lcmocka

$(BUILD)/tests/lib_secret_file_test: $(BUILD)/obj/lib/secret_file_test.o $(BUILD)/obj/lib/secret_file.o
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -lcmocka

$(BUILD)/tests/lib_log_test: $(BUILD)/obj/lib/log_test.o $(BUILD)/obj/lib/log.o $(BUILD)/obj/lib/log_limit.o
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -lpthread -lcmocka
