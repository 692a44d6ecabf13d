/*
 * supervisor_config.h - what a pipeline's worker runs: the pipeline's row and the settings, as a command line.
 */
#ifndef WALHOUSE_SUPERVISOR_CONFIG_H
#define WALHOUSE_SUPERVISOR_CONFIG_H

/* All of it lives in the memory context it was read into. */
typedef struct PublisherCommand
{
	char	   *path;
	char	  **argv;			/* NULL-terminated; readable by every user of the machine, so nothing secret is in it */
	char	  **environment;	/* NAME=value, NULL-terminated; added to what child.c hands on */
	char	   *properties_stamp;	/* tells one content of the properties file from the next */
} PublisherCommand;

/* NULL: the pipeline's row is gone, or it is paused. Runs a transaction of its own. */
extern PublisherCommand *read_publisher_command(const char *pipeline, MemoryContext context);

/* Would both run the same? */
extern bool publisher_commands_are_equal(const PublisherCommand *a, const PublisherCommand *b);

#endif
