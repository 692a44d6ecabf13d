# What our plain programs share.

LIB_OBJECTS := $(BUILD)/obj/lib/log.o
