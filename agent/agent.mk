# walhouse-agent and the unit tests of its pure rooms.

AGENT_SOURCES := main config kafka_config consume registry batch budget ddl dlq load pipeline clickhouse text metrics \
	statistics dashboard http_server
AGENT_COMMON := wire schema event rowbinary
AGENT_COMMON_OBJECTS := $(AGENT_COMMON:%=$(BUILD)/obj/extension/common/%.o)
AGENT_OBJECTS := $(AGENT_SOURCES:%=$(BUILD)/obj/agent/%.o)

PROGRAMS += $(BUILD)/bin/walhouse-agent

AGENT_LIBS = $(eval AGENT_LIBS := $$(shell $(PKG_CONFIG) --libs libcurl jansson libmicrohttpd inih))$(AGENT_LIBS)

# Others' headers are not held to our warnings.
$(BUILD)/obj/agent/%.o: CPPFLAGS += $(patsubst -I%,-isystem %,$(RDKAFKA_CFLAGS)) -D_GNU_SOURCE

$(BUILD)/bin/walhouse-agent: $(AGENT_OBJECTS) $(AGENT_COMMON_OBJECTS) $(LIB_OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(AGENT_LIBS) $(RDKAFKA_LIBS) -lpthread
