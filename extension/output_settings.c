/*
 * output_settings.c - the settings that a value's text depends on; see output_settings.h.
 */
#include "postgres.h"

#include "utils/guc.h"

#include "output_settings.h"

static const char *const settings[][2] = {
	{"DateStyle", "ISO, YMD"},
	{"IntervalStyle", "postgres"},
	{"TimeZone", "UTC"},
	{"extra_float_digits", "3"},
	{"bytea_output", "hex"},
	{"lc_monetary", "C"},
	{"xmloption", "content"},
	{"xmlbinary", "base64"},
	{"quote_all_identifiers", "off"},
	{"search_path", "pg_catalog"},
};

/* nest_level 0: for the session. */
void
setting_put(const char *name, const char *value, int nest_level)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, nest_level ? GUC_ACTION_SAVE : GUC_ACTION_SET, true, 0,
							 false);
}

void
output_settings_set(void)
{
	for (int i = 0; i < lengthof(settings); i++)
		setting_put(settings[i][0], settings[i][1], 0);
}

int
output_settings_begin(void)
{
	int			nest_level = NewGUCNestLevel();

	for (int i = 0; i < lengthof(settings); i++)
		setting_put(settings[i][0], settings[i][1], nest_level);
	return nest_level;
}
