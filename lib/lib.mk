# What our plain programs share.

LIB_LOG_OBJECTS := $(BUILD)/obj/lib/log.o
