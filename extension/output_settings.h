/*
 * output_settings.h - the settings that a value's text depends on, put in force so that no session's own change a byte.
 */
#ifndef WALHOUSE_OUTPUT_SETTINGS_H
#define WALHOUSE_OUTPUT_SETTINGS_H

/* For the rest of the session. */
extern void output_settings_set(void);
/* Until AtEOXact_GUC(true, the level that is returned); an error undoes them by itself. */
extern int	output_settings_begin(void);
/* Puts one more setting in force until then. */
extern void setting_put(const char *name, const char *value, int nest_level);

#endif
