# What our plain programs share.

LIB_OBJECTS := $(BUILD)/obj/lib/log.o $(BUILD)/obj/lib/httpd.o $(BUILD)/obj/lib/httpd_static.o

$(BUILD)/obj/lib/%.o: CPPFLAGS += -D_GNU_SOURCE
